"""What Retouch costs, measured against peers and bounds in the same run: `python -m benchmarks NAME`, see README.md."""

"""Makes the generated files of k8s/monitoring/: `make dashboards`, or `python -m k8s.monitoring.source`."""

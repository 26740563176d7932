"""Generated from protos/retouch/v1 by `make protos`; do not edit."""

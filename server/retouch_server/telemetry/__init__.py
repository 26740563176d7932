"""What operators see: metrics, health over HTTP, logs."""

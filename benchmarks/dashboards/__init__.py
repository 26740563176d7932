"""The dashboards of k8s/monitoring/ on a live service: loaded, asked, and drawn."""

"""Grafana and Prometheus as code: `python -m grafana.build` writes what both load, no hand does."""

"""Prometheus and Grafana for whoever has them: generated files, checked against what `GET /metrics` exposes."""

"""Metrics, alert rules and logs."""

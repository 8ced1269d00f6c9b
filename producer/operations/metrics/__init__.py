"""Metrics for Prometheus: each module makes the metric families of one topic, ``collector`` puts them together."""

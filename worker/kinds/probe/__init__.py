"""Stages of a probe job, one module each."""

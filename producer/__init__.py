"""Asking and reading: the command line, data sets, reports. Never imports torch."""

"""The command line, data set registration, results and reports, and the service's processes. Never imports torch."""

"""The command line, registration of data sets, results, pages, and the service. Never imports torch."""

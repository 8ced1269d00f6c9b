"""Questions about the kept maxima of a search, answered by exact scans without running the network."""

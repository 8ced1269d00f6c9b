"""``analyze find``: questions about the kept maxima of a search."""

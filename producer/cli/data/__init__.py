"""Commands about data sets, networks, and the cache of pixels."""

"""Commands for data sets, networks, and the pixel cache."""

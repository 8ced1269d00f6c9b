"""The face of the library: what a notebook uses."""

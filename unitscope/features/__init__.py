"""Feature maps of an image in every layer of a network."""

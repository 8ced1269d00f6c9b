"""Images on their way to a network: read, cached, augmented, uploaded."""

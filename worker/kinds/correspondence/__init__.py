"""The stages of a correspondence job, one module each."""

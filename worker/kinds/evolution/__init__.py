"""The stages of an evolution, one module each."""

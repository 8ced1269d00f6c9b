"""The stages of a top-9 search, one module each."""

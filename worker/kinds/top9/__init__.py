"""The stages of a top-9 search, a module each."""

"""The stages of a brightness job, a module each."""

"""The stages of an invariance job, one module each."""

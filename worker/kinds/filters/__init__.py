"""The stages of a job of filters, one module each."""

"""The stages of a job of feature maps, one module each."""

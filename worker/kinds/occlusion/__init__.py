"""The stages of an occlusion sweep, one module each."""

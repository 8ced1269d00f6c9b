"""The stages of an occlusion sweep, a module each."""

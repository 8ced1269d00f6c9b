"""Layers of units: the forms of modules' outputs, their channels and places, and how layers are named."""

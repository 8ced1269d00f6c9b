"""``analyze label``: names for units, from the similarities of images and concepts."""

"""Input pipeline: reading, caching, augmentation and upload of images."""

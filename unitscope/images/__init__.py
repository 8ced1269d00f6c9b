"""Image files, and files of decoded pixels. Torch is not imported."""

"""Image files and files of decoded pixels. Nothing here needs torch."""

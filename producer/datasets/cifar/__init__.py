"""CIFAR-10 and CIFAR-100: files of pixels, which are converted to images, and folders of images."""

from producer.datasets.cifar.reading import image_folder, read_cifar

__all__ = ["image_folder", "read_cifar"]

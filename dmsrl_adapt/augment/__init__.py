"""Random augmentation of image batches on their device."""

from .random_affine import RandomAffine
from .random_convolution import RandomConvolution

__all__ = [
    "RandomAffine",
    "RandomConvolution",
]

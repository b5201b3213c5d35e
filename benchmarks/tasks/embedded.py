"""Handwritten digits, and other digits of the same kind blended into photographs, as MNIST-M is made from MNIST.

All data are in scikit-learn: `load_digits` (1,797 digits) and `load_sample_images` (two photographs). No download.
"""

import numpy as np
import torch
from sklearn.datasets import load_digits, load_sample_images
from torch import Tensor

from .images import to_images
from .task import DataPlace, Need, Split, Task

NAMES = ("embedded",)
LICENCE = "digits: CC BY 4.0 (UCI, Alpaydin and Kaynak); photographs: CC BY (see sklearn.datasets.load_sample_images)"
SIZE = 20
# numbers of digits: source (half of all), target training, validation and test
PARTS = (898, 450, 120, 329)
# number of photo crops into which each target digit is blended
COPIES = (2, 3, 3)


def needs(name: str) -> tuple[Need, ...]:
    """Returns (): all data come with scikit-learn."""
    return ()


def load(name: str, place: DataPlace) -> Task:
    """Returns the task; the same at every call."""
    digits = load_digits()
    order = np.random.RandomState(123).permutation(len(digits.target))
    grey = np.clip(digits.images * 255 / 16, 0, 255)[order]
    images, labels = to_images(grey, SIZE), torch.as_tensor(digits.target[order])
    source, *targets = zip(images.split(PARTS), labels.split(PARTS), strict=True)
    train, validation, test = (
        blended(*part, copies, seed) for seed, (part, copies) in enumerate(zip(targets, COPIES, strict=True))
    )
    return Task(name, tuple("0123456789"), Split(*source), train, validation, test, licence=LICENCE)


def blended(images: Tensor, labels: Tensor, copies: int, seed: int) -> Split:
    """Returns `copies` versions of each digit, |crop - digit| with a different photo crop for each."""
    rng, photos = np.random.RandomState(seed), load_sample_images().images
    crops = np.stack([photo_crop(photos, rng) for _ in range(copies * len(images))])
    difference = (torch.as_tensor(crops).short() - images.repeat(copies, 1, 1, 1).short()).abs()
    return Split(difference.byte(), labels.repeat(copies))


def photo_crop(photos: list[np.ndarray], rng: np.random.RandomState) -> np.ndarray:
    """Returns a random crop of a random photo at half its resolution, uint8 (3, SIZE, SIZE)."""
    photo = photos[rng.randint(len(photos))]
    top, left = (rng.randint(side - 2 * SIZE) for side in photo.shape[:2])
    crop: np.ndarray = photo[top : top + 2 * SIZE : 2, left : left + 2 * SIZE : 2].transpose(2, 0, 1)
    return crop

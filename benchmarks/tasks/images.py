"""Images in memory, all of one size."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from dmsrl_adapt.data import DataError, Samples
from dmsrl_adapt.data.arrays import read_arrays


def to_images(images: np.ndarray, size: int | None = None) -> Tensor:
    """Returns RGB images, uint8 (N, 3, size, size), from grey (N, H, W) or colour (N, H, W, 3) images, 0..255."""
    pixels = torch.as_tensor(np.ascontiguousarray(images)).float()
    if pixels.ndim == 3:
        pixels = pixels[:, None].expand(-1, 3, -1, -1)
    elif pixels.ndim == 4 and pixels.shape[3] == 3:
        pixels = pixels.permute(0, 3, 1, 2)
    else:
        raise DataError(f"images must have shape (N, H, W) or (N, H, W, 3), got {tuple(pixels.shape)}")
    return resized(pixels, size)


def resized(images: Tensor, size: int | None) -> Tensor:
    """Returns images (N, C, H, W), 0..255, as uint8 (N, C, size, size)."""
    pixels = images.float()
    if size is not None and tuple(pixels.shape[2:]) != (size, size):
        pixels = F.interpolate(pixels, size=(size, size), mode="bilinear", align_corners=False)
    return pixels.clamp(0, 255).round().byte().contiguous()


def square(image: Tensor, size: int) -> Tensor:
    """Returns an image, uint8 (3, H, W), as uint8 (3, size, size)."""
    if tuple(image.shape[1:]) == (size, size):
        return image
    pixels = Image.fromarray(image.permute(1, 2, 0).numpy()).resize((size, size), Image.Resampling.BILINEAR)
    return torch.from_numpy(np.array(pixels)).permute(2, 0, 1)


def stacked(samples: Samples, size: int | None = None) -> tuple[Samples, Tensor]:
    """Returns the samples that can be read, and their inputs in memory, (N, ...).

    size: side to which images are resized; None if they have one size.

    Raises:
        DataError: images of several sizes without `size`, or more unreadable ones than `Samples.get` allows.
    """
    bar = tqdm(range(len(samples)), "reading", unit=" samples", delay=2, leave=False)
    read = [samples.get(index) for index in bar]
    kept = [index for index, sample in enumerate(read) if sample is not None]
    inputs = [sample for sample in read if sample is not None]
    if samples.kind == "image" and size is not None:
        inputs = [square(image, size) for image in inputs]
    if len({tuple(sample.shape) for sample in inputs}) > 1:
        raise DataError(f"{samples.origin} holds images of different sizes; name one with --size")
    return samples.take(torch.tensor(kept)), torch.stack(inputs)


def count_labels(path: Path) -> Mapping[str, int]:
    """Returns the number of samples of each class in an .npz file with `labels` and, optionally, names `classes`."""
    arrays = read_arrays(path, ("classes",), required=("labels",))
    numbers, counts = np.unique(arrays["labels"], return_counts=True)
    names = arrays["classes"].tolist() if "classes" in arrays else range(int(numbers.max(initial=-1)) + 1)
    found = dict(zip(numbers.tolist(), counts.tolist(), strict=True))
    return {str(name): found.get(number, 0) for number, name in enumerate(names)}

"""Images in memory, all of one size."""

from collections.abc import Mapping
from itertools import groupby
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from dmsrl_adapt.data import DataError, Samples
from dmsrl_adapt.data.arrays import read_arrays

AT_ONCE = 256  # samples that are read before they are resized


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


def square(images: Tensor, size: int) -> Tensor:
    """Returns images, uint8 (N, 3, H, W), smoothed and resized to uint8 (N, 3, size, size)."""
    if tuple(images.shape[2:]) == (size, size):
        return images
    return F.interpolate(images, (size, size), mode="bilinear", antialias=True)


def stacked(samples: Samples, size: int | None = None) -> tuple[Samples, Tensor]:
    """Returns the samples that can be read, and their inputs in memory, (N, ...).

    size: side to which images are resized; None if they have one size.

    Raises:
        DataError: images of several sizes without `size`, or more unreadable ones than `Samples.get` allows.
    """
    kept, parts = list[int](), list[Tensor]()
    with tqdm(total=len(samples), desc="reading", unit=" samples", delay=2, leave=False) as bar:
        for rows in torch.arange(len(samples)).split(AT_ONCE):
            read = {row: sample for row in rows.tolist() if (sample := samples.get(row)) is not None}
            by_shape = groupby(read.values(), key=lambda sample: sample.shape)
            batches = [torch.stack(list(alike)) for _, alike in by_shape]
            parts += [square(batch, size) if size and samples.kind == "image" else batch for batch in batches]
            kept += read
            bar.update(len(rows))
    if len({part.shape[1:] for part in parts}) > 1:
        raise DataError(f"{samples.origin} holds images of different sizes; name one with --size")
    return samples.take(torch.tensor(kept)), torch.cat(parts)


def count_labels(path: Path) -> Mapping[str, int]:
    """Returns the number of samples of each class in an .npz file with `labels` and, optionally, names `classes`."""
    arrays = read_arrays(path, ("classes",), required=("labels",))
    numbers, counts = np.unique(arrays["labels"], return_counts=True)
    names = arrays["classes"].tolist() if "classes" in arrays else range(int(numbers.max(initial=-1)) + 1)
    found = dict(zip(numbers.tolist(), counts.tolist(), strict=True))
    return {str(name): found.get(number, 0) for number, name in enumerate(names)}

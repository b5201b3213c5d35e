"""Reading of images from files and arrays."""

import io
import warnings
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from .pixels import as_seen
from .task import DataError

# refuse images that would fill the memory when decoded
Image.MAX_IMAGE_PIXELS = 100_000_000


def register_heif() -> bool:
    """Lets Pillow read HEIC, the format of iPhones, by the package pillow-heif; returns whether it is installed."""
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        return False
    register_heif_opener()
    return True


def to_images(images: np.ndarray, size: int | None = None) -> Tensor:
    """Returns RGB images, uint8 (N, 3, size, size), from grey (N, H, W) or colour (N, H, W, 3) images, 0..255."""
    pixels = torch.as_tensor(np.ascontiguousarray(images)).float()
    if pixels.ndim == 3:
        pixels = pixels[:, None].expand(-1, 3, -1, -1)
    elif pixels.ndim == 4 and pixels.shape[3] == 3:
        pixels = pixels.permute(0, 3, 1, 2)
    else:
        raise DataError(f"images must have shape (N, H, W) or (N, H, W, 3), got {tuple(pixels.shape)}")
    if size is not None and tuple(pixels.shape[2:]) != (size, size):
        pixels = F.interpolate(pixels, size=(size, size), mode="bilinear", align_corners=False)
    return pixels.clamp(0, 255).round().byte().contiguous()


def decode(source: bytes | Path, name: str, size: int | None = None, animated: list[str] | None = None) -> np.ndarray:
    """Returns an encoded image as RGB, uint8 (H, W, 3), rotated by its EXIF orientation, as `as_seen` shows it.

    HEIC is rotated by pillow-heif, which also removes the orientation. With `size` the image is resized to size x size.
    Of several frames or pages the first is read, and the name is added to `animated`.
    Raises `DataError`, which names the image, if it cannot be read.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "error", Image.DecompressionBombWarning
            )  # Pillow raises an error only at twice as many pixels
            image = Image.open(io.BytesIO(source) if isinstance(source, bytes) else source)
        with image:
            # further pictures of an MPO are a camera's previews
            if animated is not None and image.format != "MPO" and getattr(image, "is_animated", False):
                animated.append(name)
            upright = as_seen(image)
            return np.asarray(upright if size is None else upright.resize((size, size), Image.Resampling.BILINEAR))
    except Exception as error:  # damaged bytes raise many types, also SyntaxError and zlib.error
        raise DataError(f"{name} cannot be read as an image: {error}") from error


def read_arrays(path: Path, keys: Sequence[str], required: Sequence[str] = ()) -> dict[str, np.ndarray]:
    """Returns the arrays of an .npz file under `keys` and `required`; absent `keys` are skipped.

    Raises `DataError` if it is not an .npz file, contains pickles, or lacks a required key.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            found = {key: arrays[key] for key in (*keys, *required) if key in arrays}
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{path} cannot be read as .npz: {error}") from error
    except Exception as error:  # zipfile.BadZipFile and zlib.error have no common base
        raise DataError(f"{path} is damaged: {error}") from error
    if not set(required) <= found.keys():
        raise DataError(f"{path} must hold {', '.join(required)}, got {sorted(found)}")
    return found


def count_labels(path: Path) -> Mapping[str, int]:
    """Returns the number of samples of each class in an .npz file with `labels` and, optionally, names `classes`."""
    arrays = read_arrays(path, ("classes",), required=("labels",))
    numbers, counts = np.unique(arrays["labels"], return_counts=True)
    names = arrays["classes"].tolist() if "classes" in arrays else range(int(numbers.max(initial=-1)) + 1)
    found = dict(zip(numbers.tolist(), counts.tolist(), strict=True))
    return {str(name): found.get(number, 0) for number, name in enumerate(names)}


def encoded_images(arrays: dict[str, np.ndarray], name: str, size: int | None = None) -> np.ndarray:
    """Returns the images in `jpeg_bytes` and `offsets`, uint8 (N, H, W, 3), resized to `size` if given.

    Raises `DataError` for images of different sizes.
    """
    raw, offsets = arrays["jpeg_bytes"].tobytes(), arrays["offsets"]
    decoded = [
        decode(raw[start:end], f"image {row} of {name}", size) for row, (start, end) in enumerate(pairwise(offsets))
    ]
    if len({image.shape for image in decoded}) > 1:
        raise DataError(f"{name} holds images of different sizes; name one with --size")
    return np.stack(decoded)

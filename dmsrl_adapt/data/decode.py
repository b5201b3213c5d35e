"""Decoding of image files."""

import io
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from .errors import UnreadableError
from .pixels import as_seen

MOST_PIXELS = 100_000_000  # of an image; more would fill the memory when decoded


class Decoded(NamedTuple):
    """Pixels of an image, uint8 (H, W, 3), and whether its file has further frames or pages."""

    pixels: np.ndarray
    has_frames: bool


def register_heif() -> bool:
    """Lets Pillow read HEIC, the format of iPhones, by the package pillow-heif; returns whether it is installed."""
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        return False
    register_heif_opener()
    return True


def decode(source: bytes | str | Path, name: str, size: int | None = None) -> Decoded:
    """Returns an encoded image as RGB, rotated by its EXIF orientation, as `as_seen` shows it.

    HEIC is rotated by pillow-heif, which also removes the orientation. Of several frames or pages the first is read.

    Args:
        source: content or path of an image file.
        name: of the image in messages.
        size: makes large images smaller, by whole numbers, so that their shorter side keeps `size` to 2 `size` pixels.
            A JPEG is decoded at an eighth to a half of its size, which takes a fraction of the time.

    Raises:
        UnreadableError: it cannot be read; the message has its name.
    """
    try:
        with warnings.catch_warnings():
            # MOST_PIXELS is the limit, whatever Pillow's is
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(source) if isinstance(source, bytes) else source)
    except Exception as error:  # damaged bytes raise many types, also SyntaxError and zlib.error
        raise UnreadableError(f"{name} cannot be read as an image: {error}") from error
    with image:
        if size is not None and image.format in ("JPEG", "MPO"):
            image.draft(None, (size, size))
        return shown(image, name, size)


def shown(image: Image.Image, name: str, size: int | None = None) -> Decoded:
    """Returns an image that may not be decoded yet; see `decode`."""
    try:
        width, height = image.size
        if width * height > MOST_PIXELS:
            raise ValueError(f"it must have at most {MOST_PIXELS} pixels, it has {width} x {height}")
        # further pictures of an MPO are a camera's previews
        has_frames = image.format != "MPO" and getattr(image, "is_animated", False)
        return Decoded(np.array(smaller(as_seen(image), size)), bool(has_frames))
    except Exception as error:
        raise UnreadableError(f"{name} cannot be read as an image: {error}") from error


def smaller(image: Image.Image, size: int | None) -> Image.Image:
    """Returns an image whose shorter side has `size` to 2 `size` pixels, or the image if it has fewer."""
    factor = 1 if size is None else min(image.size) // size
    return image.reduce(factor) if factor > 1 else image

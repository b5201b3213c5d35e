"""What a decoded image shows a person: its tones in 0..255, on white where it is transparent."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, ImageOps

WITH_ALPHA = ("LA", "La", "PA", "RGBA", "RGBa")
BITS = (8, 10, 12, 14, 16)  # that cameras and scanners fill of two bytes
NARROW = 1 / 8  # of a range; tones that fill less of it are stretched to all of it
PHOTOMETRIC, WHITE_IS_ZERO = 262, 0  # the tag of a TIFF, and its value where 0 is white
NEARLY_EMPTY = 2 ** (14 - 8)  # upper bytes below it are those of 14 bits or fewer
FLAT = 8  # tones that a person can hardly tell apart


def as_seen(image: Image.Image) -> Image.Image:
    """Returns an image as RGB, upright and as a person sees it.

    Deep grey values, 16 or 32 bits or floating point, are brought to 0..255 by `tones`. Transparent areas are white, or
    black where nothing would be seen on white.

    Raises:
        ValueError: values that are not finite, a picture that is transparent all over, or deep colors of fewer bits
            than their two bytes, which Pillow cuts off.
    """
    check_deep_colors(image)
    is_inverted = getattr(image, "tag_v2", {}).get(PHOTOMETRIC) == WHITE_IS_ZERO
    image = ImageOps.exif_transpose(image)
    if image.mode == "F" or image.mode.startswith("I"):
        return deep_grey(image, is_inverted).convert("RGB")
    if image.mode in WITH_ALPHA or "transparency" in image.info:
        return on_ground(image.convert("RGBA"))
    return image.convert("RGB")


def deep_grey(image: Image.Image, is_inverted: bool) -> Image.Image:
    """Returns an image of one deep channel in 8 bits; a transparent value is white, and so is 0 if it is inverted."""
    values = np.asarray(image)
    shown = tones(values)
    if is_inverted:
        shown = 255 - shown
    if isinstance(clear := image.info.get("transparency"), int):
        shown = np.where(values == clear, np.uint8(255), shown)
    return Image.fromarray(shown)


@dataclass(frozen=True)
class Range:
    """The values that are shown as black and as white, equal if there is only one tone, which stands for nothing."""

    black: float
    white: float

    def shown(self, values: np.ndarray) -> np.ndarray:
        """Returns values in 0..255 as uint8."""
        if self.white == self.black:
            return np.full(values.shape, 127, dtype=np.uint8)
        scaled = (values.astype(np.float64) - self.black) * (255 / (self.white - self.black))
        return scaled.round().clip(0, 255).astype(np.uint8)


def range_of(values: np.ndarray) -> Range:
    """Returns the range of values.

    It is 0..1 or 0..255 for floating point and 0..2^b-1 for integers, with the fewest bits b of 8, 10, 12, 14 and 16
    that hold all. Values outside of these, or that fill less than an eighth of theirs, have their own.
    """
    low, high = float(values.min()), float(values.max())
    tops = (1, 255) if values.dtype.kind == "f" else [2**bits - 1 for bits in BITS]
    top = next((top for top in tops if low >= 0 and high <= top), None)
    if top is not None and (high == low or high - low >= NARROW * top):
        return Range(0, top)
    return Range(low, high)


def tones(values: np.ndarray) -> np.ndarray:
    """Returns values in 0..255 as uint8, by their `range_of`.

    Raises:
        ValueError: values that are not finite.
    """
    if not np.isfinite(values).all():
        raise ValueError("it must have finite values, it holds NaN or infinite ones")
    return range_of(values).shown(values)


def on_ground(image: Image.Image) -> Image.Image:
    """Returns an RGBA image on white, or on black where it can hardly be told from white."""
    lowest, highest = extremes(image)[3]
    if highest == 0:
        raise ValueError("it is transparent all over")
    white = composed(image, "white")
    is_blank = lowest < highest and min(low for low, _ in extremes(white)) > 255 - FLAT
    return composed(image, "black") if is_blank else white


def composed(image: Image.Image, ground: str) -> Image.Image:
    """Returns an RGBA image on a ground of one color."""
    return Image.alpha_composite(Image.new("RGBA", image.size, ground), image).convert("RGB")


def extremes(image: Image.Image) -> list[tuple[int, int]]:
    """Returns the lowest and the highest value of each color of an RGB or RGBA image."""
    found: Any = image.getextrema()
    return list(found)


def check_deep_colors(image: Image.Image) -> None:
    """Raises `ValueError` for two bytes a color of which Pillow keeps the upper one, and that is nearly empty."""
    raw = str(getattr(image, "tile", ""))  # empty once loaded
    image.load()
    if ";16" in raw and image.mode in ("RGB", "RGBA"):
        highest = max(high for _, high in extremes(image)[:3])
        if highest < NEARLY_EMPTY:
            fills = f"must fill their 16 bits, the highest value is below {256 * (highest + 1)}"
            raise ValueError(f"its colors {fills}; save it with 8 bits a color")

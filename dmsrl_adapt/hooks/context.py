"""Reading the context: a missing key is one error that names the hook, what it wants and what is there."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from .. import keys
from ..training import WarmUp


def read(hook: object, inputs: Mapping[str, Any], key: str) -> Any:
    """Returns `inputs[key]`. Raises `KeyError` naming the hook, the key and the keys that are there."""
    if key not in inputs:
        raise KeyError(f"{type(hook).__name__} needs {key!r} in the context, got {sorted(inputs)}")
    return inputs[key]


def read_progress(inputs: Mapping[str, Any]) -> float:
    """Returns the context's progress, 1 where it has none. Raises `ValueError` outside 0..1."""
    progress: float = inputs.get(keys.PROGRESS, 1.0)
    if not 0 <= progress <= 1:
        raise ValueError(f"{keys.PROGRESS!r} must be in 0..1, got {progress}")
    return progress


def read_strength(hook: object, inputs: Mapping[str, Any], warmup: WarmUp, images_only: bool) -> float:
    """Returns the factor, 0..1, on a gradient at this progress and for this kind of input."""
    share = warmup(read_progress(inputs))
    return 0.0 if images_only and read(hook, inputs, keys.imgs(keys.TARGET)).ndim != 4 else share


def read_augmented(inputs: Mapping[str, Any], domain: str, images: Tensor) -> Tensor | None:
    """Returns the images in another style, where the context has them. Raises `TypeError` or `ValueError` where they are
    not of the images' type and shape."""
    key = keys.augmented(domain)
    augmented: Tensor | None = inputs.get(key)
    if augmented is None:
        return None
    if not isinstance(augmented, Tensor) or augmented.dtype != images.dtype:
        came = augmented.dtype if isinstance(augmented, Tensor) else type(augmented).__name__
        raise TypeError(f"{key!r} must be a tensor of {images.dtype} as {keys.imgs(domain)!r} is, got {came}")
    if augmented.shape != images.shape:
        shapes = f"{tuple(images.shape)}, got {tuple(augmented.shape)}"
        raise ValueError(f"{key!r} must have the shape of {keys.imgs(domain)!r}, {shapes}")
    return augmented

"""Reading the context: missing keys, progress, augmented copies, and the domain of each row."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn

from .. import keys
from ..losses import class_probs


def num_domains(layer: nn.Module) -> int:
    """Returns the number of domains that a layer, wrapped or not, was made for."""
    return max(getattr(part, "num_domains", 2) for part in layer.modules())


def domain_numbers(context: Mapping[str, Any]) -> Tensor:
    """Returns the domain of each row of the concatenated features, 0 for source and 1 for target, shape (N,)."""
    features = [context[keys.features(domain)] for domain in keys.DOMAINS]
    return numbers_of_parts(tuple(map(len, features)), features[0].device)


@lru_cache(maxsize=64)
def numbers_of_parts(sizes: tuple[int, ...], device: torch.device) -> Tensor:
    """Returns the number of the part of each row of concatenated parts, int64. It is a constant: do not change it."""
    with torch.inference_mode(False):
        return torch.cat([torch.full((size,), number, device=device) for number, size in enumerate(sizes)])


def read(hook: object, inputs: Mapping[str, Any], key: str) -> Any:
    """Returns `inputs[key]`. Raises `KeyError`, which names the hook, the key and the keys of the context."""
    if key not in inputs:
        raise KeyError(f"{type(hook).__name__} needs {key!r} in the context, got {sorted(inputs)}")
    return inputs[key]


def read_class_probs(inputs: Mapping[str, Any]) -> Tensor:
    """Returns the class probabilities of the target batch, those of the context or computed from its logits."""
    known: Tensor | None = inputs.get(keys.TARGET_CLASS_PROBS)
    return class_probs(inputs[keys.logits(keys.TARGET)]) if known is None else known


def read_progress(inputs: Mapping[str, Any]) -> float:
    """Returns the training progress of the context, 1 if it has none. Raises `ValueError` outside 0..1."""
    progress: float = inputs.get(keys.PROGRESS, 1.0)
    if not 0 <= progress <= 1:
        raise ValueError(f"{keys.PROGRESS!r} must be in 0..1, got {progress}")
    return progress


def read_augmented(inputs: Mapping[str, Any], domain: str, images: Tensor) -> Tensor | None:
    """Returns the augmented copies that the batch supplies, or None.

    Raises `TypeError` or `ValueError` if their dtype or shape is not that of the images.
    """
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

"""Argument checks; each error says what was expected and what was given.

Sizes, shapes and dtypes are known on the host. Values may be on a GPU, and reading them waits for it. So every check of
values looks at the smallest and the largest only, and those of several checks can be read together; see `read_at_once`.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

import torch
from torch import Tensor

P = ParamSpec("P")
R = TypeVar("R")
Verdict = Callable[[float, float], str | None]  # from the smallest and the largest value to an error message, or None

_validates: ContextVar[bool] = ContextVar("validates", default=True)
_unread: ContextVar[list[tuple[Tensor, Tensor, Verdict]] | None] = ContextVar("unread", default=None)


@contextmanager
def validate_args(enabled: bool) -> Iterator[None]:
    """Turns the checks of values on or off within the block; shapes and dtypes are checked in any case.

    A training step checks its batch once, where it enters, and runs with the checks turned off: each would wait for the
    device. With values out of range the results are then undefined.

    Examples:
        >>> with validate_args(False):
        ...     check_range(torch.tensor([5]), size=1, lowest=0, highest=1, name="values")
    """
    token = _validates.set(enabled)
    try:
        yield
    finally:
        _validates.reset(token)


def validated(method: Callable[Concatenate[Any, P], R]) -> Callable[Concatenate[Any, P], R]:
    """Returns a method that checks no values where the attribute `validate_args` of its module is False."""

    @wraps(method)
    def checked(module: Any, /, *args: P.args, **kwargs: P.kwargs) -> R:
        if module.validate_args or torch.compiler.is_compiling():
            return method(module, *args, **kwargs)
        with validate_args(False):
            return method(module, *args, **kwargs)

    return checked


@contextmanager
def read_at_once(also: Tensor | None = None) -> Iterator[list[float]]:
    """Waits for the device once, at the end of the block, for all checks of values within.

    Raises the first error in the order of the checks.

    Args:
        also: shape (n,), floating point, values that are read too. The list that the block gets holds them after it.
    """
    unread: list[tuple[Tensor, Tensor, Verdict]] = []
    values: list[float] = []
    token = _unread.set(unread)
    try:
        yield values
    finally:
        _unread.reset(token)
    extremes = [one for lowest, highest, _ in unread for one in (lowest, highest)]
    numbers = read_numbers(extremes, also)
    values += numbers[len(extremes) :]
    for (_, _, verdict), low, high in zip(unread, numbers[::2], numbers[1::2], strict=False):
        raise_error(verdict(low, high))


def read_numbers(scalars: Sequence[Tensor], more: Tensor | None) -> list[float]:
    """Returns the values of scalars, and of one more tensor, shape (n,), after one wait for the device."""
    parts = [] if more is None else [more]
    if scalars:
        device = scalars[0].device
        # float32 does not hold all integers, but MPS has no float64
        integers = torch.float32 if device.type == "mps" else torch.float64
        values = [one.to(device, one.dtype if one.is_floating_point() else integers) for one in scalars]
        parts = [torch.stack(values), *(part.to(device) for part in parts)]
    numbers: list[float] = torch.cat(parts).tolist() if len(parts) > 1 else [x for part in parts for x in part.tolist()]
    return numbers


def raise_error(message: str | None) -> None:
    """Raises `ValueError` with a message; nothing for None."""
    if message is not None:
        raise ValueError(message)


def check_values(values: Tensor, verdict: Verdict) -> None:
    """Raises `ValueError` where the verdict on the smallest and the largest value is a message.

    Both are NaN if any value is. An empty tensor is not checked, and none within `torch.compile`.
    """
    if torch.compiler.is_compiling() or not _validates.get() or not values.numel():
        return
    with torch.no_grad():
        lowest, highest = torch.aminmax(values)
    unread = _unread.get()
    if unread is None:
        raise_error(verdict(*torch.stack([lowest, highest]).tolist()))
    else:
        unread.append((lowest, highest, verdict))


def check_sizes(**sizes: int | None) -> None:
    """Raises `ValueError` for a size below 1; None is ignored."""
    for name, value in sizes.items():
        if value is not None and value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")


def check_fractions(**fractions: float) -> None:
    """Raises `ValueError` for a number outside 0..1 or NaN."""
    for name, value in fractions.items():
        if not 0 <= value <= 1:
            raise ValueError(f"{name} must be in 0..1, got {value}")


def check_positive_fractions(**fractions: float) -> None:
    """Raises `ValueError` for a number that is not above 0 and at most 1."""
    for name, value in fractions.items():
        if not 0 < value <= 1:
            raise ValueError(f"{name} must be above 0 and at most 1, got {value}")


def check_at_least(lowest: float, **numbers: float) -> None:
    """Raises `ValueError` for a number below `lowest`, NaN or infinite."""
    for name, value in numbers.items():
        if not lowest <= value < math.inf:
            raise ValueError(f"{name} must be finite and at least {lowest}, got {value}")


def check_positive(**numbers: float) -> None:
    """Raises `ValueError` for a number that is not above 0, NaN or infinite."""
    for name, value in numbers.items():
        if not 0 < value < math.inf:
            raise ValueError(f"{name} must be finite and above 0, got {value}")


def check_floating(values: Tensor, name: str, *shape: int | str) -> None:
    """Raises `TypeError` unless `values` is a floating point tensor, and `check_shape` errors if a shape is given."""
    if not isinstance(values, Tensor) or not values.is_floating_point():
        came = values.dtype if isinstance(values, Tensor) else type(values).__name__
        raise TypeError(f"{name} must be a floating point tensor, got {came}")
    if shape:
        check_shape(values, shape, name)


def check_shape(tensor: Tensor, shape: tuple[int | str, ...], name: str) -> None:
    """Raises `ValueError` unless `tensor` has this shape, where a letter stands for any length."""
    if tensor.ndim != len(shape) or any(type(n) is int and n != m for n, m in zip(shape, tensor.shape, strict=True)):
        wanted = ", ".join(map(str, shape)) + ("," if len(shape) == 1 else "")
        raise ValueError(f"{name} must have shape ({wanted}), got {tuple(tensor.shape)}")


def check_features(features: Tensor, feature_dim: int, name: str = "features") -> None:
    """Raises unless `features` is a finite floating point tensor of shape (N, feature_dim)."""
    check_floating(features, name, "N", feature_dim)
    check_finite(features, name)


def check_image_batch(images: Tensor) -> None:
    """Raises unless `images` is a floating point tensor of shape (N, C, H, W)."""
    check_floating(images, "images", "N", "C", "H", "W")


def check_has_values(tensor: Tensor, name: str) -> None:
    """Raises `ValueError` for a tensor on the meta device, which has no values."""
    if tensor.is_meta:
        raise ValueError(f"{name} must hold values, got a tensor of shape {tuple(tensor.shape)} on the meta device")


def check_finite(values: Tensor, name: str) -> None:
    """Raises `ValueError` for NaN or infinite values."""
    check_has_values(values, name)

    def verdict(lowest: float, highest: float) -> str | None:
        if math.isfinite(lowest) and math.isfinite(highest):
            return None
        bad = int((~torch.isfinite(values)).sum())
        return f"{name} must be finite, got {bad} NaN or infinite values of {values.numel()}"

    check_values(values, verdict)


def check_images(images: Tensor, name: str) -> None:
    """Raises unless `images` is a tensor of real, finite values with at least one sample."""
    if not isinstance(images, Tensor) or images.is_complex():
        came = images.dtype if isinstance(images, Tensor) else type(images).__name__
        raise TypeError(f"{name} must be a tensor of real numbers, got {came}")
    # upstream's losses are NaN without a sample
    if images.ndim == 0 or not len(images):
        raise ValueError(f"{name} must hold at least one sample, got shape {tuple(images.shape)}")
    check_finite(images, name)


def check_integers(values: Tensor, name: str) -> None:
    """Raises `TypeError` unless `values` is a tensor of integers."""
    if not isinstance(values, Tensor) or values.is_floating_point() or values.dtype == torch.bool:
        came = values.dtype if isinstance(values, Tensor) else type(values).__name__
        raise TypeError(f"{name} must be an integer tensor, got {came}")


def check_labels(labels: Tensor, size: int, num_classes: int, lowest: int = 0, name: str = "labels") -> Tensor:
    """Returns `labels` as int64; raises unless they are integers of shape (size,) with values lowest..num_classes-1."""
    check_integers(labels, name)
    labels = labels.long()  # torch counts, compares and indexes differently with the smaller types
    check_range(labels, size, lowest, num_classes - 1, name)
    return labels


def check_weights(weights: Tensor, size: int, name: str = "weights") -> None:
    """Raises unless `weights` is a floating point tensor of shape (size,) with values 0..1."""
    check_floating(weights, name)
    check_range(weights, size, 0, 1, name)


def check_class_probs(class_probs: Tensor, size: int, num_classes: int) -> Tensor:
    """Returns `class_probs` in float32, without a gradient.

    Raises unless they have shape (size, num_classes) and values 0..1, up to rounding.
    """
    check_shape(class_probs, (size, num_classes), "class_probs")
    probs = (class_probs.detach() if class_probs.requires_grad else class_probs).float()
    check_within(probs, 0, 1 + 1e-3, "class_probs")
    return probs


def check_range(values: Tensor, size: int, lowest: float, highest: float, name: str) -> None:
    """Raises `ValueError` unless `values` has shape (size,) and lies in lowest..highest."""
    check_shape(values, (size,), name)
    check_within(values, lowest, highest, name)


def check_within(values: Tensor, lowest: float, highest: float, name: str) -> None:
    """Raises `ValueError` unless all values lie in lowest..highest."""
    check_has_values(values, name)

    def verdict(low: float, high: float) -> str | None:
        if lowest <= low and high <= highest:
            return None
        came = (low, high) if values.is_floating_point() else (int(low), int(high))
        return f"{name} must be in {lowest}..{highest}, got values from {came[0]} to {came[1]}"

    check_values(values, verdict)

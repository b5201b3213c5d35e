"""Outputs of any module as maps: tensors, lists, dicts, named tuples and data classes."""

from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

from torch import Tensor

# fields of Hugging Face's outputs that hold maps of all depths, the better ones first
SEVERAL = ("feature_maps", "reshaped_hidden_states", "hidden_states")
LAST = "last_hidden_state"
Place = int | str


def named_parts(output: object) -> dict[str, Any] | None:
    """Returns the parts of an output that has named ones, without those that are None; else None."""
    if isinstance(output, Tensor):
        return None
    if isinstance(output, Mapping):
        parts = {str(name): part for name, part in output.items()}
    elif isinstance(output, tuple) and hasattr(output, "_fields"):
        parts = dict(zip(output._fields, output, strict=True))
    elif is_dataclass(output) and not isinstance(output, type):
        parts = {field.name: getattr(output, field.name) for field in fields(output)}
    else:
        return None
    return {name: part for name, part in parts.items() if part is not None}


def listed_maps(output: object) -> list[Tensor]:
    """Returns the maps of an output in its order, so that the last is that of the greatest depth.

    Of named parts these are the ones of four axes. Of an output as Hugging Face has them it is the one field with the
    maps of all depths, or the last map.

    Raises:
        ValueError: something else than a tensor, or a list, tuple, dict, named tuple or data class of tensors.
    """
    parts = named_parts(output)
    if parts is None:
        return checked(output if isinstance(output, (list, tuple)) else [output], type(output).__name__)
    for name in SEVERAL:
        if isinstance(several := parts.get(name), (list, tuple)) and several and is_map(several[-1]):
            return checked(several, name)
    if is_map(parts.get(LAST)):
        return [parts[LAST]]
    tensors = [part for part in parts.values() if isinstance(part, Tensor)]
    return [part for part in tensors if is_map(part)] or checked(tensors, described_parts(parts))


def named_maps(output: object, names: Sequence[str]) -> list[Tensor]:
    """Returns the parts of an output with these names. Raises `ValueError`, which says what there is, without them."""
    parts = named_parts(output)
    if parts is None:
        raise ValueError(f"an output by name must be a dict, named tuple or data class, got {type(output).__name__}")
    if missing := [name for name in names if name not in parts]:
        raise ValueError(f"the output has no {missing}, it has {described_parts(parts)}")
    return checked([parts[name] for name in names], described_parts(parts))


def is_map(part: object) -> bool:
    """Returns whether a part of an output is a tensor of four axes."""
    return isinstance(part, Tensor) and part.ndim == 4


def checked(several: Sequence[object], came: str) -> list[Tensor]:
    """Returns tensors as a list. Raises `ValueError` if there are none or others among them."""
    maps = [one for one in several if isinstance(one, Tensor)]
    if not maps or len(maps) < len(several):
        other = next((type(one).__name__ for one in several if not isinstance(one, Tensor)), "nothing")
        raise ValueError(
            f"the output must be a tensor, or a list, tuple or dict of tensors, got {came} with {other} in it"
        )
    return maps


def described_parts(parts: Mapping[str, Any]) -> str:
    """Returns names and shapes of parts for errors."""
    shapes = {name: getattr(part, "shape", type(part).__name__) for name, part in parts.items()}
    return (
        ", ".join(f"{name} {tuple(of) if not isinstance(of, str) else of}" for name, of in shapes.items()) or "nothing"
    )


def as_map(part: Tensor, is_channels_last: bool, name: str, takes_vectors: bool) -> Tensor:
    """Returns a map of shape (N, C, H, W).

    Args:
        part: shape (N, C, H, W), (N, H, W, C) for `is_channels_last`, or (N, D) where vectors are taken, which then are
            maps of one cell.
        name: of the level, for errors.

    Raises:
        ValueError: another shape, which it names.
    """
    if part.ndim == 4:
        return part.permute(0, 3, 1, 2) if is_channels_last else part
    if part.ndim == 2 and takes_vectors:
        return part[:, :, None, None]
    hints = {
        2: "; of vectors (N, D) there are no windows, use local=None",
        3: "; tokens (N, L, D) need a module that lays them out as maps, as timm models do",
    }
    came = tuple(part.shape)
    raise ValueError(
        f"the backbone must give maps of shape (N, C, H, W), got {came} for {name!r}{hints.get(part.ndim, '')}"
    )


def looks_channels_last(of_square: Tensor, of_wide: Tensor | None) -> bool:
    """Returns whether a map of a square image has its channels last, as far as shapes tell.

    Args:
        of_square: map of a square image, shape (N, C, H, W) or (N, H, W, C).
        of_wide: map of an image of the same height that is wider, None if the network takes none.
    """
    if of_square.ndim != 4 or of_square.shape[1] != of_square.shape[2] or of_square.shape[2] == of_square.shape[3]:
        return False
    if of_wide is None or of_wide.shape == of_square.shape:
        return True
    return of_wide.shape[2] != of_square.shape[2] and of_wide.shape[3] == of_square.shape[3]

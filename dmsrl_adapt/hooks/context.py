"""Reading the context: a missing key is one error that names the hook, what it wants and what is there."""

from collections.abc import Mapping
from typing import Any

from .. import keys


def read(hook: object, inputs: Mapping[str, Any], key: str) -> Any:
    """Gives `inputs[key]`. Raises `KeyError` naming the hook, the key and the keys that are there."""
    if key not in inputs:
        raise KeyError(f"{type(hook).__name__} needs {key!r} in the context, got {sorted(inputs)}")
    return inputs[key]


def read_progress(inputs: Mapping[str, Any]) -> float:
    """Gives the context's progress, 1 where it has none. Raises `ValueError` outside 0..1."""
    progress: float = inputs.get(keys.PROGRESS, 1.0)
    if not 0 <= progress <= 1:
        raise ValueError(f"{keys.PROGRESS!r} must be in 0..1, got {progress}")
    return progress

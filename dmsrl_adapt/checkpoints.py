"""Lets `torch.load(weights_only=True)` read what upstream's `CheckpointFnCreator` saves.

With recent releases of pytorch-ignite a checkpoint holds upstream's containers and not their state dicts alone, and the
score history of a validator holds numpy arrays; the safe loader refuses both unless told that they are plain data.
"""

from typing import Any

import numpy as np
import torch
from pytorch_adapt.containers import LRSchedulers, Misc, Models, Optimizers


def allow_upstream_checkpoints() -> None:
    """Names upstream's containers and numpy's arrays of numbers as safe to load; none of them can run code."""
    containers: list[Any] = [Models, Optimizers, LRSchedulers, Misc]
    dtypes = {type(np.dtype(name)) for name in ("float32", "float64", "int32", "int64")}
    # the functions that make an array and a number again have moved between numpy's releases
    makers: list[Any] = [value.__reduce__()[0] for value in (np.zeros(1), np.float64(0))]
    torch.serialization.add_safe_globals([*containers, np.ndarray, np.dtype, *dtypes, *makers])

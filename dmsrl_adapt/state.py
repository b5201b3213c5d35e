"""State of modules that follows a training step, and is restored if the step fails."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial

import torch
from torch import Tensor, nn

_undo: ContextVar[list[Callable[[], object]] | None] = ContextVar("undo", default=None)


def set_state(module: nn.Module, name: str, values: Tensor) -> None:
    """Replaces a buffer by another tensor. Within `restored_on_error` the old one is kept until the block ends.

    Args:
        module: owner of the buffer.
        name: of the buffer.
        values: in the shape of the buffer, without a gradient; converted to its dtype.
    """
    old = getattr(module, name)
    # nothing outside of the mode could change a tensor that was made in it
    if not torch.compiler.is_compiling() and torch.is_inference_mode_enabled():
        old.copy_(values)
        return
    undo = _undo.get()
    if undo is not None:
        undo.append(partial(setattr, module, name, old))
    setattr(module, name, values.to(old.dtype))


def set_rows(buffer: Tensor, values: Tensor, rows: Tensor) -> Tensor:
    """Sets rows of a buffer in place and returns the old ones, which `restored_on_error` keeps until the block ends.

    Args:
        buffer: shape (N, ...).
        values: shape (n, ...); converted to the dtype of the buffer.
        rows: shape (n,), int64.
    """
    old = buffer[rows]
    undo = _undo.get()
    if undo is not None:
        undo.append(partial(buffer.index_put_, (rows,), old))
    buffer[rows] = values.to(buffer.dtype)
    return old


@contextmanager
def restored_on_error() -> Iterator[None]:
    """Restores all that `set_state` and `set_rows` have changed within the block if the block ends with an error.

    Examples:
        >>> module = nn.BatchNorm1d(1)
        >>> try:
        ...     with restored_on_error():
        ...         set_state(module, "running_mean", torch.ones(1))
        ...         raise ValueError
        ... except ValueError:
        ...     module.running_mean
        tensor([0.])
    """
    undo: list[Callable[[], object]] = []
    token = _undo.set(undo)
    try:
        yield
    except BaseException:
        with torch.no_grad():
            for restore in reversed(undo):
                restore()
        raise
    finally:
        _undo.reset(token)

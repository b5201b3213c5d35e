"""State of modules that follows a training step, and is restored if the step fails."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import EllipsisType

import torch
from torch import Tensor

Rows = EllipsisType | Tensor
WHOLE = ...

_changes: ContextVar[list[tuple[Tensor, Rows, Tensor]] | None] = ContextVar("changes", default=None)


def set_state(buffer: Tensor, values: Tensor, rows: Rows = WHOLE) -> None:
    """Sets a buffer, or some of its rows. Within `restored_on_error` the old values are kept until the block ends.

    Args:
        buffer: shape (N, ...).
        values: in the shape of these rows; converted to the dtype of the buffer.
        rows: int64, indices of the rows.
    """
    changes = _changes.get()
    if changes is not None:
        changes.append((buffer, rows, buffer.clone() if rows is WHOLE else buffer[rows]))
    if rows is WHOLE:
        buffer.copy_(values)
    else:
        buffer[rows] = values.to(buffer.dtype)


@contextmanager
def restored_on_error() -> Iterator[None]:
    """Restores all that `set_state` has changed within the block if the block ends with an error.

    Examples:
        >>> count = torch.zeros(2)
        >>> try:
        ...     with restored_on_error():
        ...         set_state(count, torch.ones(2))
        ...         raise ValueError
        ... except ValueError:
        ...     count
        tensor([0., 0.])
    """
    changes: list[tuple[Tensor, Rows, Tensor]] = []
    token = _changes.set(changes)
    try:
        yield
    except BaseException:
        with torch.no_grad():
            for buffer, rows, old in reversed(changes):
                buffer[rows] = old
        raise
    finally:
        _changes.reset(token)

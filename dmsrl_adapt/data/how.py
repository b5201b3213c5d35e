"""How a user wants data to be read."""

from dataclasses import dataclass
from typing import Literal, get_args

from .errors import DataError

Kind = Literal["image", "vector", "signal", "tensor"]
KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True)
class How:
    """The arguments of `open_data` on how to read.

    labelled: whether labels are required (True), left out (False), or taken if there are any (None).
    kind: of the samples, None where the data tells.
    input_column, label_column: names of columns or keys, None for the usual ones.
    size: least shorter side of large images when decoded, in pixels, None for their own.
    """

    labelled: bool | None = None
    kind: Kind | None = None
    input_column: str | None = None
    label_column: str | None = None
    size: int | None = None

    def __post_init__(self) -> None:
        if self.kind is not None and self.kind not in KINDS:
            raise DataError(f"kind must be one of {', '.join(KINDS)}, got {self.kind!r}")
        if self.size is not None and self.size < 1:
            raise DataError(f"size must be at least 1 pixel, got {self.size}")

    def only(self, kind: Kind, what: str) -> Kind:
        """Returns the kind that `what` has. Raises `DataError` if the user wants another one."""
        if self.kind not in (None, kind):
            raise DataError(f"{what} must be of the kind {kind!r}, not {self.kind!r}")
        return kind

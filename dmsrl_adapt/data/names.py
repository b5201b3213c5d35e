"""Names of many samples, without one Python object each."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import overload

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Names(Sequence[str]):
    """Texts by row, in two arrays: a million file names take little memory, and worker processes share it.

    rows: int64 (N,), the stored text of each row.
    texts: all texts, encoded and joined; None where a row is called by its number.
    ends: int64 (M + 1,), where each text begins and the last one ends; None without texts.

    Examples:
        >>> names = Names.of(["a.jpg", "b.jpg", "c.jpg"])
        >>> names[1], names.take(torch.tensor([2, 0]))[:], Names.numbered(20)[17]
        ('b.jpg', ['c.jpg', 'a.jpg'], 'row 17')
    """

    rows: Tensor
    texts: bytes | None = None
    ends: Tensor | None = None

    @classmethod
    def of(cls, texts: Iterable[str]) -> "Names":
        """Returns the given texts; what is no Unicode in a file's name is kept."""
        encoded = [text.encode("utf-8", "surrogateescape") for text in texts]
        ends = torch.tensor([0, *map(len, encoded)]).cumsum(0)
        return cls(torch.arange(len(encoded)), b"".join(encoded), ends)

    @classmethod
    def numbered(cls, count: int) -> "Names":
        """Returns "row 0", "row 1" and so on."""
        return cls(torch.arange(count))

    def take(self, rows: Tensor) -> "Names":
        """Returns the names at `rows`, int64 or bool."""
        return Names(self.rows[rows], self.texts, self.ends)

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, place: int) -> str: ...

    @overload
    def __getitem__(self, place: slice) -> list[str]: ...

    def __getitem__(self, place: int | slice) -> str | list[str]:
        if isinstance(place, slice):
            return [self[row] for row in range(*place.indices(len(self)))]
        row = int(self.rows[place])
        if self.texts is None or self.ends is None:
            return f"row {row}"
        return self.texts[int(self.ends[row]) : int(self.ends[row + 1])].decode("utf-8", "surrogateescape")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

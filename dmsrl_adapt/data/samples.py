"""A data set that reads its samples as they are indexed."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import torch
from torch import Tensor
from torch.utils.data import Dataset

from .errors import DataError, UnreadableError
from .how import Kind
from .labels import Labels
from .names import Names

MOST_UNREADABLE = 0.05  # share of the images that may be unreadable
ALWAYS_ALLOWED = 3  # unreadable images, however few there are in all
UNREADABLE, FRAMES = 1, 2  # what is found out of a row when it is read


def most_left_out(total: int) -> float:
    """Returns how many of so many files may be missing or unreadable while the others are used."""
    return max(MOST_UNREADABLE * total, ALWAYS_ALLOWED)


class Rows(Protocol):
    """Reader of samples. It must be picklable for worker processes."""

    def __len__(self) -> int: ...

    def read(self, row: int, size: int | None) -> tuple[Tensor, bool]:
        """Returns a sample, and whether it is the first of several frames.

        size: see `open_data`; for images only.

        Raises:
            UnreadableError: the image cannot be read.
        """


@dataclass(eq=False)
class Samples(Dataset[Tensor]):
    """Inputs of one kind, with labels where they are known; what `open_data` returns.

    An input is read when it is indexed, so nothing of an image file is kept in memory. Worker processes share with
    their parent what they found unreadable, so `left_out` is complete whoever reads.

    rows: the reader.
    kind: "image": uint8 (3, H, W), RGB, of the size of the file; "vector": float32 (D,); "signal": float32 (C, T);
        "tensor": float32 (C, H, W), values as they are.
    origin: where they come from, for messages.
    names: of the samples: the file below the root, or "row 17".
    labels: int64 (N,), numbers of `classes`, or None.
    classes: names of the classes, or None without labels. Some may have no sample: see `agree`.
    is_numbered: whether these names are only the numbers that the data gives.
    size: see `open_data`.
    """

    rows: Rows
    kind: Kind
    origin: str
    names: Names
    labels: Tensor | None = None
    classes: tuple[str, ...] | None = None
    is_numbered: bool = False
    size: int | None = None
    skipped: Sequence[tuple[str, str]] = ()
    remarks: Sequence[str] = ()
    found: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.uint8))

    @classmethod
    def of(
        cls,
        rows: Rows,
        kind: Kind,
        origin: str,
        names: Names | None = None,
        labels: Labels | None = None,
        size: int | None = None,
        skipped: Sequence[tuple[str, str]] = (),
        remarks: Sequence[str] = (),
    ) -> "Samples":
        """Returns the samples of a reader; without `names` they are called by their rows."""
        names = Names.numbered(len(rows)) if names is None else names
        samples = cls(rows, kind, origin, names, size=size, skipped=skipped, remarks=remarks)
        if labels is None:
            return samples
        return replace(samples, labels=labels.numbers, classes=labels.classes, is_numbered=labels.is_numbered)

    def __post_init__(self) -> None:
        if not len(self.found):
            self.found = torch.zeros(len(self.rows), dtype=torch.uint8)
            self.found.share_memory_()  # type: ignore[no-untyped-call]

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Tensor:
        """Returns the input at `index`. Raises `UnreadableError`, which names it, for an image that cannot be read."""
        row = self.row(index)
        try:
            sample, has_frames = self.rows.read(row, self.size)
        except UnreadableError:
            self.found[row] = UNREADABLE
            raise
        if has_frames:
            self.found[row] = FRAMES
        return sample

    def row(self, index: int) -> int:
        """Returns the reader's row of an index."""
        if not -len(self) <= index < len(self):
            raise IndexError(f"index must be below {len(self)}, got {index}")
        return int(self.names.rows[index])

    def get(self, index: int) -> Tensor | None:
        """Returns the input at `index`, or None for an image that cannot be read.

        Raises:
            DataError: more than 5 % of all images, and more than three, or all of them cannot be read.
        """
        try:
            return self[index]
        except UnreadableError as error:
            count, total = int((self.found == UNREADABLE).sum()), len(self.rows)
            if count == total or count > most_left_out(total):
                allowed = f"at most {ALWAYS_ALLOWED} or {100 * MOST_UNREADABLE:.0f} % may be left out"
                told = f"{count} of the {total} images in {self.origin} cannot be read, {allowed}"
                raise DataError(f"{error}; {told}") from error
            return None

    def near(self, index: int) -> tuple[int, Tensor]:
        """Returns `index` and its input, or of an unreadable image the next index that can be read and its input.

        For training, where a batch must be full; read the label by the index that is returned.

        Raises:
            DataError: as `get`.
        """
        for place in range(index, index + len(self)):
            if (sample := self.get(place % len(self))) is not None:
                return place % len(self), sample
        raise DataError(f"{self.origin}: none of {len(self)} images can be read")

    def take(self, rows: Tensor) -> "Samples":
        """Returns the samples at `rows`, int64 or bool, in that order."""
        labels = None if self.labels is None else self.labels[rows]
        return replace(self, names=self.names.take(rows), labels=labels)

    def unlabelled(self) -> "Samples":
        """Returns the samples without labels and classes."""
        return replace(self, labels=None, classes=None)

    @property
    def left_out(self) -> list[tuple[str, str]]:
        """Name and reason of each file that is not used: no image, or unreadable as found so far."""
        unread = [(self.names[index], self.reason(index)) for index in self.indices(UNREADABLE)]
        return [*self.skipped, *unread]

    @property
    def notes(self) -> list[str]:
        """Sentences on what a user should know, such as files of several frames as found so far."""
        frames = self.indices(FRAMES)
        if not frames:
            return list(self.remarks)
        count = "1 file has" if len(frames) == 1 else f"{len(frames)} files have"
        told = f"{count} several frames or pages, of which the first is read, such as {self.names[frames[0]]}"
        return [*self.remarks, f"{self.origin}: {told}"]

    def indices(self, state: int) -> list[int]:
        """Returns the indices of which `state` was found."""
        indices: list[int] = (self.found[self.names.rows] == state).nonzero()[:, 0].tolist()
        return indices

    def reason(self, index: int) -> str:
        """Returns why an image cannot be read."""
        try:
            self.rows.read(self.row(index), self.size)
        except UnreadableError as error:
            return str(error)
        return "it could not be read at first"

"""The data of a run: a labelled source, a target, and a part of the target for scoring."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..data import DataError, Samples, agree, open_data


@dataclass
class RunData:
    """Data of a run.

    classes: names; the source has samples of each.
    source: labelled.
    target: without labels.
    scored: samples of the target to predict at the end, with labels where they are known.
    notes: sentences for the user.
    """

    classes: tuple[str, ...]
    source: Samples
    target: Samples
    scored: Samples
    notes: list[str]

    def with_size(self, size: int | None) -> "RunData":
        """Returns the same with images decoded for a network of this size; see `open_data`."""
        parts = {name: replace(getattr(self, name), size=size) for name in ("source", "target", "scored")}
        return replace(self, **parts)

    @property
    def is_scored_on_test(self) -> bool:
        """Whether the scored samples are others than those of the target that are trained on."""
        return self.scored.rows is not self.target.rows


def read_run_data(source: Any, target: Any, target_test: Any = None, **how: Any) -> RunData:
    """Returns the data of a run, with nothing but names and labels read.

    Labels of the target are for scoring only. Without `target_test` the target itself is scored.

    Args:
        source, target, target_test: as `open_data` takes them.
        **how: other arguments of `open_data`.

    Raises:
        DataError: missing data, classes that do not fit, different kinds, or fewer than 2 samples.
    """
    opened = [opened_as(source, True, how), opened_as(target, None, how)]
    if target_test is not None:
        opened.append(opened_as(target_test, None, how))
    agreed = agree(opened[0], *opened[1:])
    kinds = {one.origin: one.kind for one in agreed.samples}
    if len(set(kinds.values())) > 1:
        raise DataError(f"source and target must be of one kind, got {kinds}")
    for one in agreed.samples[:2]:
        if len(one) < 2:  # batch normalisation needs two
            raise DataError(f"{one.origin} must hold at least 2 samples, got {len(one)}")
    notes = [*agreed.notes, *(note for one in agreed.samples for note in [*one.notes, *skipped(one)])]
    scored = agreed.samples[-1]
    return RunData(agreed.classes, agreed.samples[0], agreed.samples[1].unlabelled(), scored, notes)


def opened_as(what: Any, labelled: bool | None, how: dict[str, Any]) -> Samples:
    """Returns data as `open_data` does; samples that are open already as they are."""
    if isinstance(what, Samples):
        return what
    samples: Samples = open_data(what, labelled, **how)
    return samples


def skipped(samples: Samples) -> list[str]:
    """Returns a sentence on the files that are no images; [] if there are none."""
    strays = samples.skipped
    if not strays:
        return []
    count = "1 file is" if len(strays) == 1 else f"{len(strays)} files are"
    return [f"{samples.origin}: {count} left out, such as {strays[0][0]} ({strays[0][1]})"]


def identity(what: Any) -> str:
    """Returns a text for data in the settings of a run: the path, or the kind of object."""
    if isinstance(what, (str, Path)):
        return str(Path(what).resolve())
    return type(what).__name__

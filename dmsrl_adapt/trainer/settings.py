"""The settings of a run, by which it is repeated."""

import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from ..checks import check_sizes

DEFAULT_STEPS = 400


@dataclass(frozen=True)
class Settings:
    """All plain settings of a run; `train` describes them. Two runs with the same ones give the same model."""

    source: str
    target: str
    target_test: str | None = None
    model: str = "resnet18"
    recipe: str = "default"
    steps: int = DEFAULT_STEPS
    batch_size: int = 64
    optimizer: str | None = None
    lr: float | None = None
    weight_decay: float | None = None
    seed: int = 0
    size: tuple[int, int] | None = None
    augment: str | None = None
    weights: str | None = None
    clip: float | None = None
    accumulate: int = 1
    precision: str = "32-true"
    devices: int = 1
    scorings: int = 8
    early_stopping: int | None = None

    def __post_init__(self) -> None:
        sizes = ("steps", "batch_size", "accumulate", "devices", "scorings")
        check_sizes(**{name: getattr(self, name) for name in sizes})
        if self.batch_size < 2:  # batch normalisation needs two
            raise ValueError(f"batch_size must be at least 2, got {self.batch_size}")

    def as_dict(self) -> dict[str, Any]:
        """Returns all as plain values, tuples as lists."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}

    def command(self, out: str) -> str:
        """Returns the command that repeats the run, with the options that are not the usual ones."""
        words = ["dmsrl-adapt", "train"]
        for one in fields(self):
            value = getattr(self, one.name)
            if value is None or value == one.default:
                continue
            text = "x".join(map(str, value)) if isinstance(value, tuple) else str(value)
            words += [f"--{one.name.replace('_', '-')}", text]
        return shlex.join([*words, "--out", out])


def differing(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> list[str]:
    """Returns texts on the settings that differ."""
    names = [name for name in {**ours, **theirs} if ours.get(name) != theirs.get(name)]
    return [f"{name} = {theirs.get(name)!r}, not {ours.get(name)!r}" for name in names]

"""The folder of a run: which files it has, and that two runs never share one."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .settings import differing


class RunFolder:
    """The folder of a run: `model.pt`, `run.json`, `report.html`, `logs` and `checkpoints`.

    Args:
        path: of the folder.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.model, self.facts = self.path / "model.pt", self.path / "run.json"
        self.report, self.logs = self.path / "report.html", self.path / "logs"
        self.checkpoints, self.table = self.path / "checkpoints", self.path / "target.csv"

    def begin(self, settings: Mapping[str, Any], resume: bool) -> None:
        """Creates the folder and notes the settings of the run in it.

        Raises:
            ValueError: the folder has another run, or this one and it is not to be resumed, or other files.
        """
        if self.facts.is_file():
            there = self.read()["settings"]
            if changes := differing(settings, there):
                raise ValueError(
                    f"{self.path} has another run, with {'; '.join(changes[:3])}; name another out, or remove it"
                )
            if not resume:
                raise ValueError(f"{self.path} has this run already; continue it by resume, or name another out")
        elif self.path.exists() and (not self.path.is_dir() or any(self.path.iterdir())):
            raise ValueError(f"{self.path} must be a new or an empty folder, it holds other files")
        self.write({"settings": dict(settings)})

    def read(self) -> dict[str, Any]:
        """Returns what is noted. Raises `ValueError` for a damaged file."""
        try:
            facts: dict[str, Any] = json.loads(self.facts.read_text())
            facts["settings"]
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{self.facts} is damaged: {error}") from error
        return facts

    def write(self, facts: Mapping[str, Any]) -> None:
        """Notes facts atomically, in place of earlier ones. Raises `OSError` if the file cannot be written."""
        self.path.mkdir(parents=True, exist_ok=True)
        unfinished = self.facts.with_suffix(".part")
        unfinished.write_text(json.dumps(facts, indent=1) + "\n")
        unfinished.replace(self.facts)

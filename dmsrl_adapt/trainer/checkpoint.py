"""Checkpoints of a run: a killed run resumes and ends with the same result."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pytorch_adapt.adapters import BaseAdapter

from ..training import Checkpoints
from ..training.checkpoints import stateful


@dataclass
class Notes:
    """State of a run besides its adapter.

    run: settings that identify the run, so that checkpoints of other runs are refused.
    kept: measurements so far: numbers, texts, lists and dicts of them.
    """

    run: Mapping[str, Any]
    kept: Mapping[str, Any] = field(default_factory=dict)

    def state_dict(self) -> dict[str, Any]:
        """Returns both as a dict."""
        return {"run": dict(self.run), "kept": dict(self.kept)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Loads the measurements. Raises `ValueError` if they are of another run."""
        if state["run"] != self.run:
            raise ValueError("it is of another run")
        self.kept = state["kept"]


@dataclass(frozen=True)
class Checkpoint:
    """The folder with the state of a run.

    run: see `Notes`.
    others: further objects with a state, by name.
    """

    folder: Path
    run: Mapping[str, Any]
    others: Mapping[str, Any] = field(default_factory=dict)

    def save(self, adapter: BaseAdapter, kept: Mapping[str, Any]) -> None:
        """Saves the adapter and the measurements, with `done`, the number of finished steps."""
        self._checkpoints(adapter, Notes(self.run, kept)).save(kept["done"])

    def load(self, adapter: BaseAdapter) -> Mapping[str, Any] | None:
        """Loads the state into a new adapter and returns the measurements.

        Returns None, and changes nothing, if there is no readable checkpoint of this run.
        """
        try:
            return self.resume(adapter)
        except ValueError:
            self.remove()
            return None

    def resume(self, adapter: BaseAdapter) -> Mapping[str, Any] | None:
        """Loads the state into a new adapter and returns the measurements; None without a checkpoint.

        Raises:
            ValueError: the checkpoints are of another run, or none is readable; nothing is changed.
        """
        notes = Notes(self.run)
        self._checkpoints(adapter, notes).resume()
        return notes.kept or None

    def remove(self) -> None:
        """Removes the folder, if there is one."""
        if self.folder.exists():
            shutil.rmtree(self.folder)

    def _checkpoints(self, adapter: BaseAdapter, notes: Notes) -> Checkpoints:
        return Checkpoints(self.folder, {"run": notes, **self.others, **stateful(adapter)})

"""Checkpoints of a run: one that was killed goes on where it was, and ends with the result that it would have had."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pytorch_adapt.adapters import BaseAdapter

from dmsrl_adapt import Checkpoints
from dmsrl_adapt.training.checkpoints import stateful


@dataclass
class Notes:
    """What is saved of a run besides its adapter.

    run: what was chosen for it, so that the checkpoint of another is not taken for its own.
    kept: what was measured so far: numbers, texts, lists and dicts of them.
    """

    run: Mapping[str, Any]
    kept: Mapping[str, Any] = field(default_factory=dict)

    def state_dict(self) -> dict[str, Any]:
        """Returns both."""
        return {"run": dict(self.run), "kept": dict(self.kept)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes what was measured. Raises `ValueError` where it is another run's."""
        if state["run"] != self.run:
            raise ValueError("it is of another run")
        self.kept = state["kept"]


@dataclass(frozen=True)
class Checkpoint:
    """The folder that holds the state of a run.

    run: see `Notes`.
    """

    folder: Path
    run: Mapping[str, Any]

    def save(self, adapter: BaseAdapter, kept: Mapping[str, Any]) -> None:
        """Writes all that training depends on, and what is to be given back: `done`, the number of steps, and more."""
        self._checkpoints(adapter, Notes(self.run, kept)).save(kept["done"])

    def load(self, adapter: BaseAdapter) -> Mapping[str, Any] | None:
        """Puts the state into an adapter just built and gives what was kept with it.

        None, and nothing changed, where there is no checkpoint of this very run, or none can be read.
        """
        notes = Notes(self.run)
        try:
            self._checkpoints(adapter, notes).resume()
        except ValueError:
            self.remove()
        return notes.kept or None

    def remove(self) -> None:
        """Removes the folder, if there is one."""
        if self.folder.exists():
            shutil.rmtree(self.folder)

    def _checkpoints(self, adapter: BaseAdapter, notes: Notes) -> Checkpoints:
        return Checkpoints(self.folder, {"run": notes, **stateful(adapter)})

"""Checkpoints of a run: one that was killed goes on where it was, and ends with the result that it would have had."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytorch_adapt.adapters import BaseAdapter
from pytorch_adapt.hooks.base import BaseHook
from torch import nn

from dmsrl_adapt.checkpoints import random_state, read_archive, set_random_state, write

CONTAINERS = ("models", "misc", "optimizers", "lr_schedulers")


@dataclass(frozen=True)
class Checkpoint:
    """The file that holds the state of a run.

    run: what was chosen for the run, so that the file of another is not taken for it.
    """

    path: Path
    run: Mapping[str, Any]

    def save(self, adapter: BaseAdapter, kept: Mapping[str, Any]) -> None:
        """Writes all that training depends on; a reader never sees half a file.

        Args:
            adapter: its modules, also those in its hooks, its optimizers and schedules.
            kept: what else is to be given back: numbers, texts, lists and dicts of them.
        """
        parts = parts_of(adapter)
        state = {name: {key: one.state_dict() for key, one in held.items()} for name, held in parts.items()}
        whole = {"run": dict(self.run), "state": state, "random": random_state(), "kept": dict(kept)}
        write(whole, self.path)

    def load(self, adapter: BaseAdapter) -> dict[str, Any] | None:
        """Puts the state into an adapter just built and gives what was kept with it.

        None, and nothing changed, where there is no checkpoint of this very run, or it cannot be read.
        """
        try:
            found = read_archive(self.path, "checkpoint")
        except ValueError:  # missing or damaged
            return None
        if found["run"] != self.run:
            return None
        for name, held in parts_of(adapter).items():
            for key, one in held.items():
                one.load_state_dict(found["state"][name][key])
        set_random_state(found["random"])
        kept: dict[str, Any] = found["kept"]
        return kept

    def remove(self) -> None:
        """Removes the file, if there is one."""
        self.path.unlink(missing_ok=True)


def parts_of(adapter: BaseAdapter) -> dict[str, dict[str, Any]]:
    """Gives everything with a state: what the containers hold, and what hooks hold besides, by its place in them."""
    parts = {name: dict(getattr(adapter, name)) for name in CONTAINERS}
    known = {id(module) for name in ("models", "misc") for module in parts[name].values()}
    in_hooks = {place: module for place, module in modules_in(adapter.hook, "hook") if id(module) not in known}
    return {**parts, "hooks": in_hooks}


def modules_in(hook: BaseHook, place: str) -> Iterator[tuple[str, nn.Module]]:
    """Gives the modules of a hook and of the hooks in it, ATDOC's memory for one, each with its place."""
    for name, value in vars(hook).items():
        for number, one in enumerate(value if isinstance(value, (list, tuple)) else [value]):
            if isinstance(one, nn.Module):
                yield f"{place}.{name}.{number}", one
            elif isinstance(one, BaseHook):
                yield from modules_in(one, f"{place}.{name}.{number}")

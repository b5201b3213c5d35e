"""Checkpoints for a bit-exact resume, loaded without running code.

`Checkpoints` is for a plain loop; `dmsrl_adapt.frameworks.ignite` has the same for upstream's Ignite wrapper.
docs/robustness.md lists what is saved and what is not.
"""

import copy
import os
import random
import re
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from pytorch_adapt.adapters import BaseAdapter
from pytorch_adapt.adapters.utils import container_names
from pytorch_adapt.containers import LRSchedulers, Misc, Models, Optimizers
from pytorch_adapt.hooks.base import BaseHook
from torch import Tensor, nn

from ..processes import is_shared

NAME = re.compile(r"step_(\d+)(?:-rank(\d+))?\.pt")


def allow_upstream_checkpoints() -> None:
    """Lets `torch.load(weights_only=True)` read what upstream's `CheckpointFnCreator` saves.

    With recent releases of pytorch-ignite a checkpoint holds upstream's containers, and the score history of a
    validator holds numpy arrays. The safe loader refuses both unless they are registered. None of them can run code.
    """
    containers: list[Any] = [Models, Optimizers, LRSchedulers, Misc]
    dtypes = {type(np.dtype(name)) for name in ("float32", "float64", "int32", "int64")}
    # the functions that rebuild an array and a number have moved between numpy's releases
    makers: list[Any] = [value.__reduce__()[0] for value in (np.zeros(1), np.float64(0))]
    torch.serialization.add_safe_globals([*containers, np.ndarray, np.dtype, *dtypes, *makers])


class Checkpoints:
    """Saves and restores the state of objects and of all random number generators.

    A loop with these two lines can be killed at any time, and resumes to the same bits:

        checkpoints = Checkpoints(folder, adapter)
        for step in range(checkpoints.resume(), steps):
            ...
            checkpoints.save(step + 1)

    The generators are those of torch, numpy and Python. The position within a pass over a `DataLoader` is not saved:
    save at the end of passes, or add a loader with a state, such as torchdata's `StatefulDataLoader`, to the objects.

    A checkpoint is written to a temporary file, synchronised to disk and renamed. In a process group every process has
    its own files, and all resume from the last step that every process has.

    Args:
        folder: of the checkpoints; created if missing.
        objects: an adapter of pytorch-adapt, or objects with `state_dict` and `load_state_dict` by name: modules,
            optimizers, schedulers. For both: `{**stateful(adapter), "loader": loader}`.
        kept: number of last checkpoints to keep, at least 2, in case the last one cannot be read.

    Raises:
        TypeError: an object without `state_dict` or `load_state_dict`.
        ValueError: `kept` below 2, or no objects.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     checkpoints = Checkpoints(folder, {"C": torch.nn.Linear(2, 3)})
        ...     start = checkpoints.resume()
        ...     checkpoints.save(7)
        ...     start, checkpoints.resume()
        (0, 7)
    """

    def __init__(self, folder: str | Path, objects: BaseAdapter | Mapping[str, Any], kept: int = 2) -> None:
        self.folder, self.objects, self.kept = Path(folder), stateful(objects), kept
        if kept < 2:
            raise ValueError(f"kept must be at least 2, got {kept}")

    def save(self, step: int) -> None:
        """Writes the checkpoint of a finished step and removes those before the last `kept`.

        Raises:
            OSError: it cannot be written, for example because the disk is full; earlier checkpoints are left as they
                are.
        """
        path = self.folder / f"step_{step:08d}{rank_suffix()}.pt"
        states = {name: one.state_dict() for name, one in self.objects.items()}
        write({"step": step, "states": states, "random": random_state()}, path)
        for old in self._paths()[: -self.kept]:
            old.unlink(missing_ok=True)

    def resume(self) -> int:
        """Restores the last readable checkpoint and returns its number of finished steps; 0 without checkpoints.

        For a truncated or damaged checkpoint it warns and uses the one before.

        Raises:
            ValueError: there are checkpoints but none can be read, or an object does not fit its state; every object is
                left as it was.
        """
        found = self._last()
        if found is None:
            return 0
        restore(self.objects, found)
        return int(found["step"])

    def _last(self) -> dict[str, Any] | None:
        """Returns the content of the last readable checkpoint that all processes have; None without checkpoints."""
        found, paths = None, self._paths()
        while paths and found is None:
            found = readable(paths.pop())
        step = in_all_processes(-1 if found is None else int(found["step"]))
        if found is not None and step >= 0 and found["step"] != step:
            found = readable(self.folder / f"step_{step:08d}{rank_suffix()}.pt")
        names = [path.name for path in self._paths()]
        if names and (found is None or found["step"] != step):
            raise ValueError(f"one of {names} in {self.folder} must be readable in all processes, none is")
        return found

    def _paths(self) -> list[Path]:
        """Returns the checkpoints of this process, oldest first."""
        names = {path: NAME.fullmatch(path.name) for path in self.folder.glob("step_*.pt")}
        steps = {path: int(name[1]) for path, name in names.items() if name and own_rank(name[2])}
        return sorted(steps, key=lambda path: steps[path])


def stateful(objects: BaseAdapter | Mapping[str, Any]) -> dict[str, Any]:
    """Returns objects by name; for an adapter its containers, and modules that only its hooks hold.

    Raises:
        TypeError: an object without `state_dict` or `load_state_dict`.
        ValueError: no objects.
    """
    if isinstance(objects, BaseAdapter):
        containers = {name: getattr(objects, name) for name in container_names()}
        objects = {**containers, **held_by_hooks(objects), **carried(objects)}
    for name, one in objects.items():
        if not (hasattr(one, "state_dict") and hasattr(one, "load_state_dict")):
            raise TypeError(f"{name!r} must have state_dict and load_state_dict, got {type(one).__name__}")
    if not objects:
        raise ValueError("objects must be at least one, got none")
    return dict(objects)


def held_by_hooks(adapter: BaseAdapter) -> dict[str, nn.Module]:
    """Returns, under "hooks", modules that only hooks hold, such as ATDOC's memory; {} if none of them has a state."""
    known, held = {id(module) for module in (*adapter.models.values(), *adapter.misc.values())}, nn.ModuleDict()
    for place, module in modules_in(adapter.hook):
        if id(module) not in known and module.state_dict():
            held[place] = module
        known.add(id(module))
    return {"hooks": held} if held else {}


def carried(adapter: BaseAdapter) -> dict[str, "CarriedRecipe"]:
    """Returns, as "recipe", that of the adapter's modules; {} if they carry none."""
    recipes = [module.recipe for module in adapter.misc.values() if hasattr(module, "recipe")]
    return {"recipe": CarriedRecipe(recipes[0].settings)} if recipes else {}


class CarriedRecipe:
    """The recipe of an adapter in its checkpoint, which another recipe cannot resume.

    Args:
        settings: of the recipe.
    """

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self.settings = dict(settings)

    def state_dict(self) -> dict[str, Any]:
        """Returns the settings."""
        return self.settings

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Raises `ValueError` for other settings, and names those that differ."""
        names = [name for name in {**state, **self.settings} if state.get(name) != self.settings.get(name)]
        if names:
            differing = ", ".join(f"{name} = {state.get(name)}, not {self.settings.get(name)}" for name in names)
            raise ValueError(f"the checkpoint is of another recipe: {differing}")


def modules_in(value: Any, place: str = "hook") -> Iterator[tuple[str, nn.Module]]:
    """Yields the modules in a hook and in the hooks inside it, each with its path of attributes."""
    if isinstance(value, nn.Module):
        yield place, value
    elif isinstance(value, BaseHook):
        for name, part in vars(value).items():
            yield from modules_in(part, f"{place}/{name}")
    elif isinstance(value, (list, tuple, dict)):
        for number, part in enumerate(value.values() if isinstance(value, dict) else value):
            yield from modules_in(part, f"{place}/{number}")


def write(content: Mapping[str, Any], path: Path) -> None:
    """Writes a file atomically. Raises `OSError` if it cannot be written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".part")
    try:
        with unfinished.open("wb") as file:
            torch.save(content, file)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    except (OSError, RuntimeError) as error:  # torch turns errors of the disk into a RuntimeError
        unfinished.unlink(missing_ok=True)
        raise OSError(f"{path} cannot be written: {error}") from error


def read(path: Path) -> dict[str, Any]:
    """Returns the content of a checkpoint, without running code. Raises `ValueError` if it is truncated or damaged."""
    allow_upstream_checkpoints()
    content = read_archive(path, "checkpoint")
    if not isinstance(content, dict) or content.keys() != {"step", "states", "random"}:
        raise ValueError(f"{path} cannot be read as a checkpoint: it holds something else")
    return content


def read_archive(path: Path, kind: str) -> Any:
    """Returns the content of a file that `write` has written, without running code.

    Raises `ValueError`, which names the kind of file, if it is missing, truncated, damaged or of another format.
    """
    try:
        with zipfile.ZipFile(path) as archive:  # torch does not verify the check sums of tensors
            damaged = archive.testzip()
        if damaged is not None:
            raise ValueError(f"wrong check sum of {damaged}")
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # damaged bytes raise errors of many types
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise ValueError(f"{path} cannot be read as a {kind}: {reason}") from error


def readable(path: Path) -> dict[str, Any] | None:
    """Returns the content of a checkpoint; None, after a warning, if it cannot be read."""
    try:
        return read(path)
    except ValueError as error:
        warnings.warn(f"{error}; the one before it is used", stacklevel=4)
        return None


def restore(objects: Mapping[str, Any], content: Mapping[str, Any]) -> None:
    """Loads a checkpoint into objects and random number generators, all or none.

    Raises:
        ValueError: the checkpoint has other objects, or an object does not fit its state.
    """
    states = content["states"]
    if objects.keys() != states.keys():
        raise ValueError(f"the checkpoint must be of {sorted(objects)}, got one of {sorted(states)}")
    before, loaded = {name: copy.deepcopy(one.state_dict()) for name, one in objects.items()}, []
    for name, one in objects.items():
        loaded.append(name)
        try:
            one.load_state_dict(states[name])
        except Exception as error:  # upstream, torch and schedulers raise errors of many types
            for changed in loaded:
                objects[changed].load_state_dict(before[changed])
            raise ValueError(f"{name!r} does not fit the checkpoint: {error}") from error
    set_random_state(content["random"])


def random_state() -> dict[str, Any]:
    """Returns the state of the generators of Python, numpy and torch on all devices, as plain data and tensors."""
    kind, keys, *others = np.random.get_state()
    return {
        "python": random.getstate(),
        "numpy": (str(kind), torch.from_numpy(np.asarray(keys).astype(np.int64)), *others),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def set_random_state(state: Mapping[str, Any]) -> None:
    """Restores what `random_state` returned; the state of GPUs that this machine lacks is ignored."""
    kind, keys, *others = state["numpy"]
    random.setstate(state["python"])
    np.random.set_state((kind, keys.numpy().astype(np.uint32), *others))
    torch.set_rng_state(state["torch"])
    devices: list[Tensor] = state["cuda"]
    for number, of_device in enumerate(devices[: torch.cuda.device_count()]):
        torch.cuda.set_rng_state(of_device, number)


def rank_suffix() -> str:
    """Returns the suffix of this process's file names; empty for the first or only process."""
    return f"-rank{dist.get_rank()}" if is_shared() and dist.get_rank() else ""


def own_rank(rank: str | None) -> bool:
    """Returns whether a checkpoint with this rank in its name is this process's."""
    return (f"-rank{rank}" if rank else "") == rank_suffix()


def in_all_processes(step: int) -> int:
    """Returns the minimum of the processes' steps."""
    if not is_shared():
        return step
    smallest = torch.tensor(step, device="cuda" if dist.get_backend() == "nccl" else "cpu")
    dist.all_reduce(smallest, op=dist.ReduceOp.MIN)
    return int(smallest)

"""The tasks, by name. A module here is a family: it has `NAMES`, `LICENCE` and `load(name, place) -> Task`."""

from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType

from .task import DataError, DataPlace, Shares, Split, Task

__all__ = ["DataError", "DataPlace", "Shares", "Split", "Task", "families", "load_task", "task_names"]


def families() -> list[ModuleType]:
    """Gives the modules of this folder that offer tasks by name."""
    modules = [import_module(f"{__name__}.{found.name}") for found in iter_modules(__path__)]
    return [module for module in modules if hasattr(module, "NAMES")]


def task_names() -> list[str]:
    """Gives the names of all tasks."""
    return [name for family in families() for name in family.NAMES]


def load_task(name: str, place: DataPlace) -> Task:
    """Gives the task of that name. Raises `DataError` for an unknown name or missing data."""
    for family in families():
        if name in family.NAMES:
            task: Task = family.load(name, place)
            return task
    raise DataError(f"there is no task {name!r}; `python -m benchmarks list` names those there are")

"""The tasks, by name. A module here is a family of tasks: `NAMES`, `LICENCE`, `needs(name)` for the data that a task
needs, and `load(name, place) -> Task`."""

from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType

from dmsrl_adapt.data import DataError

from .task import DataPlace, Fractions, Need, Split, Task

# tasks for choosing settings; all others are for the final tables
TUNING = ("embedded", "mnist-usps", "usps-mnist", "pacs-art_painting-cartoon", "pacs-cartoon-art_painting")

__all__ = [
    "TUNING",
    "DataError",
    "DataPlace",
    "Fractions",
    "Need",
    "Split",
    "Task",
    "families",
    "family_of",
    "load_task",
    "task_names",
]


def families() -> list[ModuleType]:
    """Returns the modules of this folder that define tasks."""
    modules = [import_module(f"{__name__}.{found.name}") for found in iter_modules(__path__)]
    return [module for module in modules if hasattr(module, "NAMES")]


def task_names() -> list[str]:
    """Returns the names of all tasks."""
    return [name for family in families() for name in family.NAMES]


def family_of(name: str) -> ModuleType:
    """Returns the module that defines a task. Raises `DataError` for an unknown name."""
    for family in families():
        if name in family.NAMES:
            return family
    raise DataError(f"there is no task {name!r}; `python -m benchmarks list` names those there are")


def load_task(name: str, place: DataPlace) -> Task:
    """Returns the task of a name. Raises `DataError` for an unknown name or missing data."""
    task: Task = family_of(name).load(name, place)
    return task

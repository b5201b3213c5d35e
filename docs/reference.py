"""The reference: a page for every public name, by room."""

import inspect
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any

# a room a line: its title, and the module whose `__all__` says what is in it
ROOMS = (
    ("The whole method", "dmsrl_adapt"),
    ("Parts", "dmsrl_adapt.parts"),
    ("Hooks", "dmsrl_adapt.hooks"),
    ("Losses", "dmsrl_adapt.losses"),
    ("Labelers", "dmsrl_adapt.labelers"),
    ("Backbones", "dmsrl_adapt.backbones"),
    ("Augmentation", "dmsrl_adapt.augment"),
    ("Training", "dmsrl_adapt.training"),
)


@dataclass(frozen=True)
class Name:
    """A public name, and the module by which it is public."""

    name: str
    module: str

    @property
    def value(self) -> Any:
        """What it names."""
        return getattr(import_module(self.module), self.name)

    @property
    def page(self) -> str:
        """Path of its page."""
        return f"reference/{self.module.rpartition('.')[2]}/{self.name}.md"

    @property
    def path(self) -> str:
        """Its full name where it is defined, as a function of the same name as its file would be taken for the file."""
        home = getattr(self.value, "__module__", self.module)
        return f"{home if hasattr(import_module(home), self.name) else self.module}.{self.name}"

    @property
    def about(self) -> str:
        """First sentence of its docstring."""
        first = (inspect.getdoc(self.value) or "").partition("\n\n")[0]
        return " ".join(first.split()).partition(". ")[0].rstrip(".").replace("|", "\\|")


@cache
def rooms() -> dict[str, list[Name]]:
    """Returns the names of every room: classes first, then functions. What the top of the package takes from a room is
    in that room alone."""
    found: dict[str, list[Name]] = {}
    for title, module in ROOMS:
        elsewhere = {
            name for _, other in ROOMS if other.startswith(f"{module}.") for name in import_module(other).__all__
        }
        names = [Name(name, module) for name in import_module(module).__all__ if name not in elsewhere]
        shown = [name for name in names if not name.name.startswith("__")]
        found[title] = sorted(shown, key=lambda one: (not isinstance(one.value, type), one.name.lower()))
    return found


def index() -> str:
    """Returns the page that lists all names, a table a room."""
    lines = ["# All names", ""]
    about = {title: inspect.getdoc(import_module(module)) or "" for title, module in ROOMS}
    for title, names in rooms().items():
        lines += [f"## {title}", "", about[title], "", "| name | what it is |", "|---|---|"]
        lines += [f"| [`{one.name}`]({one.page.removeprefix('reference/')}) | {one.about} |" for one in names]
        lines.append("")
    return "\n".join(lines)


def page(name: Name, has_picture: bool, chart: str) -> str:
    """Returns the page of a name: its docstring, its picture where there is one, and its chart where that is not
    empty."""
    # the name itself is the page's heading
    parts = [f"::: {name.path}\n    options:\n      heading_level: 1"]
    if has_picture:
        parts.append(f"## Drawn by running it\n\n![{name.name}, drawn by running it]({name.name}.png)")
    if chart:
        parts.append(f"## In a running step\n\n{chart}\n\nAll hooks together: [One training step](../../step.md).")
    return "\n\n".join(parts) + "\n"

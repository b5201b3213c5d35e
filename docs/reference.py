"""The reference: a page for every public name, in one section per subpackage."""

import inspect
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any

# sections: title, and the module whose `__all__` lists the names
ROOMS = (
    ("The whole method", "dmsrl_adapt"),
    ("Parts", "dmsrl_adapt.parts"),
    ("Hooks", "dmsrl_adapt.hooks"),
    ("Losses", "dmsrl_adapt.losses"),
    ("Labelers", "dmsrl_adapt.labelers"),
    ("Backbones", "dmsrl_adapt.backbones"),
    ("Augmentation", "dmsrl_adapt.augment"),
    ("Data", "dmsrl_adapt.data"),
    ("Training", "dmsrl_adapt.training"),
)


@dataclass(frozen=True)
class Name:
    """A public name and the module that exports it."""

    name: str
    module: str

    @property
    def value(self) -> Any:
        """The object of that name."""
        return getattr(import_module(self.module), self.name)

    @property
    def page(self) -> str:
        """Path of its page."""
        return f"reference/{self.module.rpartition('.')[2]}/{self.name}.md"

    @property
    def path(self) -> str:
        """Full name in the module that defines it, since a function named like its file would be taken for the file."""
        home = getattr(self.value, "__module__", self.module)
        return f"{home if hasattr(import_module(home), self.name) else self.module}.{self.name}"

    @property
    def about(self) -> str:
        """First sentence of its docstring."""
        first = (inspect.getdoc(self.value) or "").partition("\n\n")[0]
        return " ".join(first.split()).partition(". ")[0].rstrip(".").replace("|", "\\|")


@cache
def rooms() -> dict[str, list[Name]]:
    """Returns the names in each section, classes before functions. Names that the package exports at its top from a
    subpackage are listed under the subpackage only."""
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
    """Returns the page that lists all names, in one table per section."""
    lines = ["# All names", ""]
    about = {title: inspect.getdoc(import_module(module)) or "" for title, module in ROOMS}
    for title, names in rooms().items():
        lines += [f"## {title}", "", about[title], "", "| name | what it is |", "|---|---|"]
        lines += [f"| [`{one.name}`]({one.page.removeprefix('reference/')}) | {one.about} |" for one in names]
        lines.append("")
    return "\n".join(lines)


def page(name: Name, has_picture: bool, chart: str) -> str:
    """Returns the page of a name: its docstring, its picture if it has one, and its chart if that is not empty."""
    # the name itself is the page's heading
    parts = [f"::: {name.path}\n    options:\n      heading_level: 1"]
    if has_picture:
        parts.append(f"## Plot\n\n![Plot of {name.name}]({name.name}.png)")
    if chart:
        parts.append(f"## Inputs and outputs\n\n{chart}\n\nAll hooks together: [One training step](../../step.md).")
    return "\n\n".join(parts) + "\n"

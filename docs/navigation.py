"""Navigation of the site: groups, and the written pages in each, with their titles."""

from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# file in the repository -> page of the site; files of docs/ keep their names
WRITTEN = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "CONTRIBUTING.md",
    "CHANGELOG.md": "CHANGELOG.md",
    "benchmarks/README.md": "benchmarks/README.md",
} | {f"docs/{path.name}": path.name for path in sorted((ROOT / "docs").glob("*.md"))}
# page -> title; an empty title stands for the page's first heading. Pages of docs/ that no group names are guides
GROUPS: dict[str, dict[str, str]] = {
    "Start": {
        "index.md": "Overview",
        "two_folders.md": "",
        "data.md": "",
        "own_models.md": "",
        "CONTRIBUTING.md": "",
        "CHANGELOG.md": "",
    },
    "Guides": {
        "choosing.md": "",
        "pseudo_labels.md": "",
        "backbones.md": "Backbones",
        "hosts.md": "",
        "own_part.md": "",
    },
    "Results": {
        "results.md": "",
        "recipe.md": "",
        "history.md": "",
        "benchmarks/README.md": "Run the benchmarks",
    },
    "Reference": {"reference/index.md": "", "step.md": ""},
}


def groups() -> dict[str, dict[str, str]]:
    """Returns the titles of all written pages by group, in the order of the navigation."""
    named = {page for pages in GROUPS.values() for page in pages}
    others = dict.fromkeys((page for page in WRITTEN.values() if page not in named), "")
    return {group: pages | (others if group == "Guides" else {}) for group, pages in GROUPS.items()}


def title_of(text: str) -> str:
    """Returns the first heading of a page."""
    return next(line[2:] for line in text.splitlines() if line.startswith("# "))


def summary(made: dict[str, str], rooms: Iterable[tuple[str, list[tuple[str, str]]]]) -> str:
    """Returns the navigation as a nested list.

    Args:
        made: text of the generated pages.
        rooms: the reference: title of each section, with the name and page of each entry.
    """
    written = {page: (ROOT / path).read_text() for path, page in WRITTEN.items()}
    lines = []
    for group, pages in groups().items():
        lines.append(f"- {group}")
        lines += [f"    - [{title or title_of((written | made)[page])}]({page})" for page, title in pages.items()]
    for title, names in rooms:
        lines += [f"    - {title}", *(f"        - [{name}]({page})" for name, page in names)]
    return "\n".join(lines) + "\n"

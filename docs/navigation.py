"""The order of the site: its groups, the pages written by hand in each, and their titles there."""

from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# page of the site, by its file in the repository; those of docs/ have their own names
WRITTEN = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "CONTRIBUTING.md",
    "CHANGELOG.md": "CHANGELOG.md",
    "benchmarks/README.md": "benchmarks/README.md",
} | {f"docs/{path.name}": path.name for path in sorted((ROOT / "docs").glob("*.md"))}
# page: title, where it is not the page's own; pages of docs/ that no group names are guides
GROUPS: dict[str, dict[str, str]] = {
    "Start": {
        "index.md": "Overview",
        "two_folders.md": "",
        "own_models.md": "",
        "CONTRIBUTING.md": "",
        "CHANGELOG.md": "",
    },
    "Guides": {
        "choosing.md": "",
        "pseudo_labels.md": "",
        "backbones.md": "Backbones",
        "hosts.md": "",
        "own_hook.md": "",
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
    """Returns the title of every page by hand by its group, in the order of the navigation."""
    named = {page for pages in GROUPS.values() for page in pages}
    others = dict.fromkeys((page for page in WRITTEN.values() if page not in named), "")
    return {group: pages | (others if group == "Guides" else {}) for group, pages in GROUPS.items()}


def title_of(text: str) -> str:
    """Returns the first heading of a page."""
    return next(line[2:] for line in text.splitlines() if line.startswith("# "))


def summary(made: dict[str, str], rooms: Iterable[tuple[str, list[tuple[str, str]]]]) -> str:
    """Returns the navigation as a nested list.

    Args:
        made: text of the pages that are not written by hand.
        rooms: the reference: title of each room, with name and page of what is in it.
    """
    written = {page: (ROOT / path).read_text() for path, page in WRITTEN.items()}
    lines = []
    for group, pages in groups().items():
        lines.append(f"- {group}")
        lines += [f"    - [{title or title_of((written | made)[page])}]({page})" for page, title in pages.items()]
    for title, names in rooms:
        lines += [f"    - {title}", *(f"        - [{name}]({page})" for name, page in names)]
    return "\n".join(lines) + "\n"

"""A report as one self-contained HTML page of chapters."""

import base64
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, select_autoescape

Rows = list[list[str]]


@dataclass
class Chapter:
    """A section of a report.

    tables: text above each table, and its rows, the header first.
    pictures: caption and path of each figure.
    """

    title: str
    texts: list[str] = field(default_factory=list)
    tables: list[tuple[str, Rows]] = field(default_factory=list)
    pictures: list[tuple[str, Path]] = field(default_factory=list)


def write_page(path: Path, title: str, chapters: Sequence[Chapter], mark: str = "\0") -> None:
    """Writes a page with its figures inside.

    Args:
        path: of the file.
        title: of the page; the first chapter stands under it.
        chapters: in their order.
        mark: cells of tables with this text are red.
    """
    page = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=select_autoescape())
    page.filters |= {
        "inlined": inlined,
        "is_wide": is_wide,
        "plain": lambda text: text.replace("`", "").replace("**", ""),
    }
    html = page.get_template("page.html").render(title=title, chapters=chapters, mark=mark)
    path.write_text(html, encoding="utf-8")


def is_wide(path: Path) -> bool:
    """Returns whether a figure, a PNG file, needs the full width of the page."""
    width, height = struct.unpack(">II", path.read_bytes()[16:24])
    return bool(width > 1.9 * height)


def inlined(path: Path) -> str:
    """Returns a figure as a data URL."""
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()

"""Marks short table cells, so that they stay on one line and only long ones wrap."""

import html
import re

LONGEST = 28  # characters
CELL = re.compile(r"<t([dh])((?: style=\"[^\"]*\")?)>(.*?)</t\1>", re.DOTALL)
TAG = re.compile(r"<[^>]+>")


def on_page_content(content: str, **_: object) -> str:
    """Returns the HTML of a page with short cells marked. MkDocs calls this for every page."""
    return CELL.sub(lambda cell: marked(cell) if is_short(cell[3]) else cell[0], content)


def is_short(cell: str) -> bool:
    """Whether a cell should stay on one line."""
    return len(html.unescape(TAG.sub("", cell))) <= LONGEST


def marked(cell: re.Match[str]) -> str:
    """Returns a cell with the CSS class `short`."""
    kind, style, text = cell.groups()
    return f'<t{kind} class="short"{style}>{text}</t{kind}>'

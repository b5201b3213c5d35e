"""Removes the list from which the navigation is made, so that it is not a page of the site."""

from typing import Any


def on_nav(nav: Any, files: Any, **_: object) -> Any:
    """Removes the page after the navigation is built. MkDocs calls this."""
    files.remove(files.get_file_from_path("SUMMARY.md"))
    return nav

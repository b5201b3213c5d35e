"""Takes the list that makes the navigation out of the site, where it would be a page of its own."""

from typing import Any


def on_nav(nav: Any, files: Any, **_: object) -> Any:
    """Removes the page once the navigation is made of it. MkDocs calls this."""
    files.remove(files.get_file_from_path("SUMMARY.md"))
    return nav

"""Details of runs that do not fit into the table: curves, confusion matrices, and features for figures.

They are stored beside the table in `runs.tar.xz`, as `STUDY/RUN.json`, and `STUDY/RUN.npz` for features.
"""

import io
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .results import Result, key_of, run_path

FIELDS = ("classes", "confusion", "selected_by", "curve")


def details_name(study: str, run: Mapping[str, Any]) -> str:
    """Returns the name of a run's files in the archive, without extension."""
    return f"{study}/{run_path(Path(), *key_of(run)).stem}"


def read_details(table: Path) -> dict[str, Result]:
    """Returns the details of all runs in the archive, by `details_name`; empty without an archive."""
    path, found = table.with_suffix(".tar.xz"), dict[str, Result]()
    if not path.is_file():
        return found
    with tarfile.open(path, "r:xz") as archive:
        for member in archive:
            content = file.read() if (file := archive.extractfile(member)) else b""
            name, _, ending = member.name.rpartition(".")
            more = json.loads(content) if ending == "json" else {"features": content}
            found.setdefault(name, {}).update(more)
    return found


def write_details(table: Path, details: Mapping[str, Result]) -> None:
    """Writes the archive of details. The same details give the same bytes."""
    path = table.with_suffix(".tar.xz")
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".part")
    with tarfile.open(unfinished, "w:xz", preset=9) as archive:
        for name, run in sorted(details.items()):
            content = {key: rounded(run[key]) for key in FIELDS if key in run}
            add_member(archive, f"{name}.json", json.dumps(content, separators=(",", ":")).encode())
        for name, run in sorted(details.items()):
            if "features" in run:
                add_member(archive, f"{name}.npz", run["features"])
    unfinished.replace(path)


def add_member(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    """Adds a file to an archive."""
    member = tarfile.TarInfo(name)
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))


def rounded(value: Any) -> Any:
    """Returns a value with all floats in it rounded to four significant digits."""
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, dict):
        return {key: rounded(one) for key, one in value.items()}
    return [rounded(one) for one in value] if isinstance(value, list) else value

"""What a row of the table does not hold: a file a study with curves, confusion matrices, and features for pictures.

It lies beside the table, `details/STUDY.tar.xz`, and has a JSON file a run, and an `.npz` where features are kept.
"""

import io
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .results import Result, key_of, run_path

FIELDS = ("classes", "confusion", "selected_by", "curve")


def run_name(run: Mapping[str, Any]) -> str:
    """Returns the name of a run's files, without an ending."""
    return run_path(Path(), *key_of(run)).stem


def details_path(table: Path, study: str) -> Path:
    """Returns where the details of a study lie."""
    return table.parent / "details" / f"{study}.tar.xz"


def read_details(table: Path, study: str) -> dict[str, Result]:
    """Returns the fields of `FIELDS` and the features by run, as far as there are any."""
    path, found = details_path(table, study), dict[str, Result]()
    if not path.is_file():
        return found
    with tarfile.open(path, "r:xz") as archive:
        for member in archive:
            content = file.read() if (file := archive.extractfile(member)) else b""
            name, _, ending = member.name.rpartition(".")
            more = json.loads(content) if ending == "json" else {"features": content}
            found.setdefault(name, {}).update(more)
    return found


def write_details(table: Path, study: str, details: Mapping[str, Result]) -> None:
    """Writes the details of a study; the same bytes for the same runs."""
    path = details_path(table, study)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".part")
    with tarfile.open(unfinished, "w:xz", preset=9) as archive:
        for name, run in sorted(details.items()):
            told = {key: rounded(run[key]) for key in FIELDS if key in run}
            add_member(archive, f"{name}.json", json.dumps(told, separators=(",", ":")).encode())
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
    """Returns a value with every number in it cut to four significant digits."""
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, dict):
        return {key: rounded(one) for key, one in value.items()}
    return [rounded(one) for one in value] if isinstance(value, list) else value

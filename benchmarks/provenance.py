"""Provenance of results: the commit and the package versions, and whether they are current."""

import hashlib
import subprocess
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from dmsrl_adapt.trainer.versions import versions as versions_of

PACKAGES = ("torch", "pytorch-adapt", "dmsrl-adapt", "timm", "numpy", "scikit-learn", "faiss-gpu", "faiss-cpu")
ROOT = Path(__file__).resolve().parent.parent
# code that affects the outcome of a run; a commit that changes none of it makes no result stale
CODE = (
    "dmsrl_adapt",
    "benchmarks/methods",
    "benchmarks/tasks",
    "benchmarks/training.py",
    "benchmarks/networks.py",
)
STALE = "†"
Made = tuple[str | None, tuple[tuple[str, str], ...]]  # commit and versions


@cache
def versions() -> dict[str, str]:
    """Returns the versions of Python and of `PACKAGES`."""
    return versions_of(PACKAGES)


@cache
def commit() -> str | None:
    """Returns the commit of this checkout; None outside of git.

    With uncommitted changes it ends with "-dirty-" and a hash of them.
    """
    done = git("describe", "--always", "--dirty", "--abbrev=12", "--exclude=*")
    if done is None or done.returncode != 0:
        return None
    name, changes = done.stdout.strip(), git("diff", "HEAD", "--", *CODE)
    if not name.endswith("-dirty") or changes is None:
        return name
    return f"{name}-{hashlib.sha256(changes.stdout.encode()).hexdigest()[:8]}"


def git(*arguments: str) -> subprocess.CompletedProcess[str] | None:
    """Runs git in this checkout; returns None if git is not installed."""
    try:
        return subprocess.run(["git", *arguments], capture_output=True, text=True, cwd=ROOT, check=False)
    except OSError:
        return None


@cache
def is_todays_code(of: str | None) -> bool:
    """Whether `CODE` at a commit equals the current code; False for a dirty or unknown commit."""
    if of is not None and of == commit():
        return True
    if of is None or "-dirty" in of:
        return False
    done = git("diff", "--quiet", of, "--", *CODE)
    return done is not None and done.returncode == 0


def is_stale(result: Mapping[str, Any]) -> bool:
    """Whether a result was made by other code or package versions than the current ones."""
    return result.get("versions") != versions() or not is_todays_code(result.get("commit"))


def marked(results: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Returns the results with the key `is_stale`, which tables show as a mark."""
    return [{**result, "is_stale": is_stale(result)} for result in results]


def made_by(result: Mapping[str, Any]) -> Made:
    """Returns the commit and versions that made a result."""
    return result.get("commit"), tuple(sorted(result.get("versions", {}).items()))


def usual(results: Iterable[Mapping[str, Any]]) -> Made:
    """Returns the commit and versions that made most of the results."""
    return Counter(map(made_by, results)).most_common(1)[0][0]


def marked_unlike(results: Iterable[dict[str, Any]], reference: Made) -> list[dict[str, Any]]:
    """Returns the results with the key `is_stale`, True unless made by the commit and versions of `reference`."""
    return [{**result, "is_stale": made_by(result) != reference} for result in results]

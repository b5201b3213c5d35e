"""What made a result: the commit and the versions of packages, and whether they are those of today."""

import platform
import subprocess
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = ("torch", "pytorch-adapt", "dmsrl-adapt", "timm", "numpy", "scikit-learn", "faiss-gpu", "faiss-cpu")
ROOT = Path(__file__).resolve().parent.parent
# what the outcome of a run depends on; a commit that leaves all of it alone makes no result stale
CODE = (
    "dmsrl_adapt",
    "benchmarks/methods",
    "benchmarks/tasks",
    "benchmarks/training.py",
    "benchmarks/networks.py",
    "benchmarks/frozen_features.py",
    "benchmarks/kept_labels.py",
    "benchmarks/validators.py",
    "benchmarks/checkpoints.py",
    "benchmarks/peak_memory.py",
)
STALE = "†"
Made = tuple[str | None, tuple[tuple[str, str], ...]]  # commit and versions


@cache
def versions() -> dict[str, str]:
    """Returns the versions of Python and of the packages that matter."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


@cache
def commit() -> str | None:
    """Returns the commit of this checkout, marked where it has changes; None outside of git."""
    done = git("describe", "--always", "--dirty", "--abbrev=12", "--exclude=*")
    return done.stdout.strip() if done is not None and done.returncode == 0 else None


def git(*arguments: str) -> subprocess.CompletedProcess[str] | None:
    """Runs git in this checkout; None where there is no git."""
    try:
        return subprocess.run(["git", *arguments], capture_output=True, text=True, cwd=ROOT, check=False)
    except OSError:
        return None


@cache
def is_todays_code(of: str | None) -> bool:
    """Whether a commit has the code of today; False for one that had changes or that this clone does not know."""
    if of is None or of.endswith("-dirty"):
        return False
    if of == commit():
        return True
    done = git("diff", "--quiet", of, "--", *CODE)
    return done is not None and done.returncode == 0


def is_stale(result: Mapping[str, Any]) -> bool:
    """Whether a result was made by other code or other versions than those of today."""
    return result.get("versions") != versions() or not is_todays_code(result.get("commit"))


def marked(results: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Returns the results with `is_stale`, by which tables mark them."""
    return [{**result, "is_stale": is_stale(result)} for result in results]


def made_by(result: Mapping[str, Any]) -> Made:
    """Returns what made a result."""
    return result.get("commit"), tuple(sorted(result.get("versions", {}).items()))


def usual(results: Iterable[Mapping[str, Any]]) -> Made:
    """Returns what made most of the results."""
    return Counter(map(made_by, results)).most_common(1)[0][0]


def marked_unlike(results: Iterable[dict[str, Any]], reference: Made) -> list[dict[str, Any]]:
    """Returns the results with `is_stale`, True for those that something else than `reference` made."""
    return [{**result, "is_stale": made_by(result) != reference} for result in results]

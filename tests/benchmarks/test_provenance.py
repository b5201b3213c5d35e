"""What makes a result stale."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import provenance
from benchmarks.cli import main
from benchmarks.provenance import CODE, ROOT, STALE, is_stale, usual, versions
from benchmarks.results import read_results

MADE = {"versions": versions(), "commit": provenance.commit()}


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with a file of code and another file."""
    monkeypatch.setattr(provenance, "ROOT", tmp_path)
    monkeypatch.setattr(provenance, "commit", lambda: git(tmp_path, "describe", "--always", "--abbrev=12"))
    monkeypatch.setattr(provenance, "is_todays_code", provenance.is_todays_code.__wrapped__)
    git(tmp_path, "init", "-q")
    (tmp_path / "dmsrl_adapt").mkdir()
    write(tmp_path, "dmsrl_adapt/loss.py", "one")
    return tmp_path


def git(folder: Path, *arguments: str) -> str:
    command = ["git", "-c", "user.name=x", "-c", "user.email=x@example.com", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout.strip()


def write(folder: Path, name: str, text: str) -> str:
    """Writes and commits a file; returns the commit."""
    (folder / name).write_text(text)
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", name)
    return git(folder, "rev-parse", "--short=12", "HEAD")


def test_a_commit_that_changes_code_makes_results_stale_and_one_of_prose_does_not(checkout: Path) -> None:
    first = provenance.commit()
    write(checkout, "README.md", "prose")
    assert provenance.commit() != first and not is_stale({**MADE, "commit": first})
    write(checkout, "dmsrl_adapt/loss.py", "two")
    assert is_stale({**MADE, "commit": first})
    write(checkout, "dmsrl_adapt/loss.py", "one")
    assert not is_stale({**MADE, "commit": first})
    (checkout / "dmsrl_adapt" / "loss.py").write_text("not committed")
    assert is_stale({**MADE, "commit": first})


@pytest.mark.parametrize("commit", ["0123456789ab", "no-commit", None])
def test_an_unknown_commit_is_stale(checkout: Path, commit: str | None) -> None:
    assert is_stale({**MADE, "commit": commit})


def test_a_checkout_with_changes_tells_nothing_later(checkout: Path) -> None:
    assert is_stale({**MADE, "commit": f"{provenance.commit()}-dirty"})


def test_other_versions_are_stale() -> None:
    assert not is_stale(MADE)
    assert is_stale({**MADE, "versions": {**versions(), "torch": "1.0"}})
    assert is_stale({})


def test_usual_is_what_made_most() -> None:
    some = [{"commit": commit, "versions": {"torch": "2"}} for commit in "abb"]
    assert usual(some) == ("b", (("torch", "2"),))
    marked = provenance.marked_unlike(some, usual(some))
    assert [run["is_stale"] for run in marked] == [True, False, False]


def test_all_modules_that_a_run_needs_count_as_code() -> None:
    """All of ours that are imported by training are in `CODE`, but for the package's own file."""
    code = "import sys, benchmarks.training, benchmarks.tasks as t; t.families(); print(*sys.modules)"
    names = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], cwd=ROOT, capture_output=True, text=True
    ).stdout
    ours = [name for name in names.split() if name.startswith(("benchmarks.", "dmsrl_adapt"))]
    paths = [ROOT / name.replace(".", "/") for name in ours]
    assert len(paths) > 50
    left = [path for path in paths if not any((ROOT / one).with_suffix("") in (path, *path.parents) for one in CODE)]
    assert left == []
    assert all((ROOT / one).exists() for one in CODE)


@pytest.mark.parametrize("changed", [{"commit": "0123456789ab"}, {"versions": {"python": "2.7"}}])
def test_a_stale_result_is_kept_and_marked_until_it_is_asked_for_anew(
    changed: dict, feature_npz: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    command = ["run", "--source", str(feature_npz), "--target", str(feature_npz), "--out", str(out), "--jobs", "1"]
    command += ["--methods", "source_only,mcc", "--seeds", "0", "--steps", "2"]
    assert main(command) == 0
    assert STALE not in capsys.readouterr().out
    (path,) = out.glob("*__mcc__seed0.json")
    path.write_text(json.dumps({**json.loads(path.read_text()), **changed}))
    assert main(command) == 0
    printed = capsys.readouterr()
    assert "mcc seed 0: kept" in printed.err
    assert f"mcc {STALE}" in printed.out and f"source_only {STALE}" not in printed.out
    assert f"| mcc {STALE} " in (out / "report.md").read_text()
    assert main([*command, "--redo-stale"]) == 0
    printed = capsys.readouterr()
    assert "source_only seed 0: kept" in printed.err and "mcc seed 0: kept" not in printed.err
    assert STALE not in printed.out
    assert all(not is_stale(result) for result in read_results(out))

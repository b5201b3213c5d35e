"""Every example runs as a script. An argument is the length of its run; without one it takes as long as is shown."""

import pytest

from .scripts import ROOT

EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


def test_there_are_examples():
    assert EXAMPLES


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_example_runs(path, tmp_path, forks):
    forks.finish("-m", "tests.short_epochs", str(path), "1", cwd=tmp_path)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_example_is_under_80_lines(path):
    assert len(path.read_text().splitlines()) < 80

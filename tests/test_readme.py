"""Every example runs as a script. An argument is the length of its run; without one it takes as long as is shown."""

import re

import pytest
from pytorch_adapt import hooks

import dmsrl_adapt

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


BLOCKS = re.findall(r"^```python\n(.*?)^```", (ROOT / "README.md").read_text(), flags=re.DOTALL | re.MULTILINE)


def test_first_python_block_runs(tmp_path, forks):
    if not BLOCKS:
        pytest.skip("README.md shows no Python yet")
    (tmp_path / "readme.py").write_text(BLOCKS[0] + "print(len(predicted))\n")
    assert forks.finish("readme.py", cwd=tmp_path) == "897\n"


@pytest.mark.parametrize("block", BLOCKS[1:])
def test_hooks_of_other_python_blocks_are_there(block):
    context = {**vars(hooks), **vars(dmsrl_adapt), "opts": []}
    exec(block, context)
    assert isinstance(context["hook"], dmsrl_adapt.AttachedHook)


def test_readme_says_what_it_is_shows_a_picture_then_install_use_and_one_table():
    readme = (ROOT / "README.md").read_text()
    headings = re.findall(r"^## (.*)", readme, flags=re.MULTILINE)
    assert headings == ["Install", "Use", "Results", "Documentation", "Licence and citation"]
    # one screen: what it is, for whom, the picture
    assert readme[: readme.index("pictures/embedded.png)")].count("\n") < 20
    assert len(re.findall(r"^\| method ", readme, flags=re.MULTILINE)) == 1
    assert len([line for line in BLOCKS[0].splitlines() if line]) <= 15

import re

import pytest
from pytorch_adapt import hooks

import dmsrl_adapt
from dmsrl_adapt.recipes import PARTS

from .scripts import ROOT, finish, start

BLOCKS = re.findall(r"^```python\n(.*?)^```", (ROOT / "README.md").read_text(), flags=re.DOTALL | re.MULTILINE)


def test_first_python_block_runs(tmp_path):
    if not BLOCKS:
        pytest.skip("README.md shows no Python yet")
    (tmp_path / "readme.py").write_text(BLOCKS[0])
    finish(start("-W", "ignore", "readme.py", cwd=tmp_path))


@pytest.mark.parametrize("block", BLOCKS[1:])
def test_hooks_of_other_python_blocks_are_there(block):
    context = {**vars(hooks), **vars(dmsrl_adapt), "opts": []}
    exec(block, context)
    assert context["hook"].recipe.parts == list(PARTS)


def test_every_row_of_a_result_table_is_in_a_committed_report():
    """A figure in README comes from a file below `benchmarks/results` that a command makes again."""
    section = (ROOT / "README.md").read_text().partition("## Results")[2].partition("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| ") and not line.startswith("| -")]
    reports = "".join(path.read_text() for path in (ROOT / "benchmarks" / "results").glob("*/report.md"))
    assert rows
    assert [row for row in rows if row not in reports] == []

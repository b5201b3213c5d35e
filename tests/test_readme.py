import re

import pytest
from pytorch_adapt import hooks

import dmsrl_adapt

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
    assert isinstance(context["hook"], hooks.DANNHook)

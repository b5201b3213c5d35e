import re

import pytest

from .scripts import ROOT, finish, start


def test_first_python_block_runs(tmp_path):
    blocks = re.findall(r"^```python\n(.*?)^```", (ROOT / "README.md").read_text(), flags=re.DOTALL | re.MULTILINE)
    if not blocks:
        pytest.skip("README.md shows no Python yet")
    (tmp_path / "readme.py").write_text(blocks[0])
    finish(start("-W", "ignore", "readme.py", cwd=tmp_path))

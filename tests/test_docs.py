"""The code of a page in docs/ that tells how to write one's own is a script that runs."""

import re

import pytest

from .scripts import ROOT, finish, start

PAGES = sorted((ROOT / "docs").glob("own_*.md"))


def blocks(path):
    """The Python of a page, one block after the other."""
    return "\n\n".join(re.findall(r"^```python\n(.*?)^```", path.read_text(), flags=re.DOTALL | re.MULTILINE))


def test_there_are_pages_with_code():
    assert [path.stem for path in PAGES] == ["own_hook", "own_models"]
    assert all(len(blocks(path).splitlines()) > 20 for path in PAGES)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_code_of_a_page_runs(path, tmp_path):
    (tmp_path / "page.py").write_text(blocks(path))
    printed = finish(start("-W", "ignore", "page.py", cwd=tmp_path))
    assert path.stem != "own_hook" or "'prototype_pull_loss'" in printed

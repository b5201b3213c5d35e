"""The notebooks are the example scripts, and are in step with them."""

import json
import re

import pytest

from docs.notebooks import ARGUMENT, SEVERAL_PROCESSES, as_notebook, notebook_path, scripts

from .scripts import ROOT

SCRIPTS = scripts()


def code_of(text: str) -> str:
    """The code of a notebook without blank lines."""
    cells = [cell for cell in json.loads(text)["cells"] if cell["cell_type"] == "code"]
    return "\n".join(line for cell in cells for line in "".join(cell["source"]).splitlines() if line)


def test_every_example_but_that_of_several_processes_has_a_notebook_and_no_other_is_there():
    stems = {path.stem for path in (ROOT / "examples").glob("*.py")}
    assert {path.stem for path in (ROOT / "examples" / "notebooks").iterdir()} == stems - SEVERAL_PROCESSES
    assert SEVERAL_PROCESSES < stems


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_notebook_is_in_step_with_its_script(script):
    assert notebook_path(script).read_text() == as_notebook(script.read_text()), "run python -m docs.notebooks"


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_notebook_runs_what_the_script_runs_without_an_argument(script):
    code = code_of(notebook_path(script).read_text())
    compile(code, script.name, "exec")
    assert "sys" not in code and not re.search("^[?%!]", code, flags=re.MULTILINE)
    own = re.split('"""', script.read_text(), maxsplit=2)[2].replace("import sys\n", "")
    comments = re.compile(r"^# .*\n", flags=re.MULTILINE)  # some become text between the cells
    own, code = (comments.sub("", one) for one in (ARGUMENT.sub(r"\1", own), code))
    assert code.split() == own.split()


def test_text_tells_what_the_example_is_and_not_how_to_start_it_as_a_script():
    notebook = as_notebook(
        '"""What it is.\n\n    python examples/x.py [steps]\n\nMore.\n"""\n\nimport sys\n\nprint(1)\n'
    )
    cells = json.loads(notebook)["cells"]
    assert [cell["cell_type"] for cell in cells] == ["markdown", "code"]
    assert "".join(cells[0]["source"]).split() == ["What", "it", "is.", "More."]
    assert cells[1]["source"] == ["print(1)"]

"""The notebooks are the example scripts, and are in step with them."""

import json
import re

import pytest

from docs.notebooks import ARGUMENT, SEVERAL_PROCESSES, as_notebook, notebook_path, scripts

from .scripts import ROOT

SCRIPTS = scripts()


def cells_of(text: str) -> list[tuple[str, list[str]]]:
    """Kind and lines of every cell; the rest of a notebook depends on the release of jupytext."""
    return [(cell["cell_type"], cell["source"]) for cell in json.loads(text)["cells"]]


def code_of(text: str) -> str:
    """The code of a notebook without blank lines."""
    cells = [cell for cell in json.loads(text)["cells"] if cell["cell_type"] == "code"]
    return "\n".join(line for cell in cells for line in "".join(cell["source"]).splitlines() if line)


def test_every_example_but_that_of_several_processes_has_a_notebook_and_no_other_is_there():
    stems = {path.stem for path in (ROOT / "examples").glob("*.py")}
    assert {path.stem for path in (ROOT / "examples" / "notebooks").iterdir()} == stems - SEVERAL_PROCESSES
    assert stems > SEVERAL_PROCESSES


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_notebook_is_in_step_with_its_script(script):
    there, made = (cells_of(text) for text in (notebook_path(script).read_text(), as_notebook(script.read_text())))
    assert there == made, "run python -m docs.notebooks"


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
    lines = [
        '"""What it is.',
        "",
        "    python examples/x.py [steps]",
        "",
        "More.",
        '"""',
        "",
        "import sys",
        "",
        "print(1)",
    ]
    text, code = cells_of(as_notebook("\n".join([*lines, ""])))
    assert text[0] == "markdown" and "".join(text[1]).split() == ["What", "it", "is.", "More."]
    assert code == ("code", ["print(1)"])

"""Makes a notebook of every example script that runs in one process: `python -m docs.notebooks`."""

import re
from pathlib import Path

import jupytext

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
SEVERAL_PROCESSES = {"ddp"}
ARGUMENT = re.compile(r"int\(sys\.argv\[1\]\) if len\(sys\.argv\) > 1 else (\d+)")


def scripts() -> list[Path]:
    """Returns the scripts that become notebooks."""
    return [path for path in sorted(EXAMPLES.glob("*.py")) if path.stem not in SEVERAL_PROCESSES]


def notebook_path(script: Path) -> Path:
    """Returns the path of the notebook of a script."""
    return EXAMPLES / "notebooks" / f"{script.stem}.ipynb"


def as_notebook(script: str) -> str:
    """Returns the notebook of a script: its docstring as text, and its code with the default length of the run."""
    _, docstring, code = re.split(r'^"""(.*?)"""\n', script, maxsplit=1, flags=re.DOTALL)
    told = [line for line in docstring.splitlines() if not line.lstrip().startswith("python examples/")]
    code = ARGUMENT.sub(r"\1", code)
    if "sys." not in code:
        code = code.replace("import sys\n", "", 1)
    text = "\n".join(f"# {line}".rstrip() for line in "\n".join(told).strip().splitlines())
    notebook = jupytext.reads(f"{text}\n\n{code.lstrip()}", fmt="py:light")
    for number, cell in enumerate(notebook.cells):  # the default ids are random
        cell["id"] = f"cell-{number}"
    notebook.metadata = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    return str(jupytext.writes(notebook, fmt="ipynb")) + "\n"


def main() -> None:
    """Writes the notebooks."""
    for script in scripts():
        path = notebook_path(script)
        path.parent.mkdir(exist_ok=True)
        path.write_text(as_notebook(script.read_text()))


if __name__ == "__main__":
    main()

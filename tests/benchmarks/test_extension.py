"""The method and the task that README adds, each a file of under 40 lines, as it stands there."""

import re
from pathlib import Path

import pytest

from benchmarks import methods, tasks
from benchmarks.cli import main
from benchmarks.results import read_results

README = Path(__file__).parents[2] / "benchmarks" / "README.md"


def test_a_method_and_a_task_are_one_short_file_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = re.findall(r"```python\n(# benchmarks/(methods|tasks)/(\w+\.py)\n.*?)```", README.read_text(), re.DOTALL)
    assert [(where, name) for _, where, name in blocks] == [("methods", "entropy.py"), ("tasks", "moons.py")]
    for (code, _, name), package in zip(blocks, (methods, tasks), strict=True):
        assert len(code.splitlines()) < 40
        folder = tmp_path / package.__name__
        folder.mkdir()
        (folder / name).write_text(code)
        monkeypatch.setattr(package, "__path__", [*package.__path__, str(folder)])
    command = ["run", "--tasks", "moons", "--methods", "source_only,entropy", "--seeds", "0", "--steps", "60"]
    assert main([*command, "--jobs", "1", "--out", str(tmp_path / "out")]) == 0
    assert main(["data", "check", "moons"]) == 0
    results = {result["method"]: result for result in read_results(tmp_path / "out")}
    assert results.keys() == {"source_only", "entropy"}
    assert results["entropy"]["settings"]["weight"] == 0.1
    assert "entropy_loss" in results["entropy"]["curve"][-1]["losses"]["total_loss"]
    assert all(result["accuracy"]["last"] > 0.6 for result in results.values())

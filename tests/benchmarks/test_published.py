"""Published results: copied without a slip, and never taken for our own."""

import re
from pathlib import Path

import numpy as np
import pytest

from benchmarks.cli import main
from benchmarks.published import published
from benchmarks.report import write_report
from benchmarks.results import write_result
from benchmarks.tables import by_task_and_method
from benchmarks.tasks import task_names

from .fake_results import fake_result

TABLES = {table.name.partition(",")[0]: table for table in published()}


@pytest.mark.parametrize("name", TABLES)
def test_the_means_of_the_source_are_those_of_the_figures_copied(name: str) -> None:
    table = TABLES[name]
    assert len(table.columns) == len(table.tasks) == len(set(table.tasks))
    for method, told in table.methods.items():
        assert len(told["scores"]) == len(table.columns), method
        assert np.mean(told["scores"]) == pytest.approx(told["mean"], abs=0.06), method
    assert all((table.source, table.protocol, table.caveat)) and "https://" in table.source


def test_tasks_of_object_images_are_ours() -> None:
    for name in ("Office-31", "Office-Home"):
        assert set(TABLES[name].tasks) <= set(task_names())


def test_ours_stand_beside_those_of_the_same_method_and_are_so_named(tmp_path: Path) -> None:
    results = [
        fake_result("office31-amazon-webcam", method, seed, score + 0.02 * seed)
        for method, score in (("mcc", 0.5), ("mmd", 0.4), ("dmsrl", 0.6))
        for seed in (0, 1)
    ]
    rows = TABLES["Office-31"].rows(by_task_and_method(results))
    names = [tuple(row[:2]) for row in rows]
    assert names[names.index(("MCC", "published")) + 1] == ("mcc", "ours")
    assert names[names.index(("DAN", "published")) + 1] == ("mmd", "ours")
    assert names[-1] == ("dmsrl", "ours")
    row = rows[names.index(("mcc", "ours"))]
    assert row == ["mcc", "ours", "-", "51.0 ± 1.4", *["-"] * 5, "-"]  # no mean of one task in six
    wanted = ["MCC", "published", "89.6", "94.1", "98.4", "99.8", "95.6", "75.5", "74.2", "89.4"]
    assert rows[names.index(("MCC", "published"))] == wanted
    for result in results:
        write_result(tmp_path, result)
    markdown = write_report(tmp_path).read_text()
    assert "Published results" in markdown and TABLES["Office-31"].caveat in markdown
    assert TABLES["Office-Home"].name not in markdown  # nobody has its data here


def test_the_command_prints_all(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["published"]) == 0
    printed = capsys.readouterr().out
    assert all(table.source in printed for table in TABLES.values())
    assert re.search(r"AGRA +published +66\.1 +85\.3 +61\.5 +56\.4 +59\.0 +68\.5", printed)

"""The table of runs: its form, what goes into it and comes out, and that a report is the same of either."""

import json
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from benchmarks import runs
from benchmarks.cli import main
from benchmarks.details import read_details, rounded
from benchmarks.report import write_report
from benchmarks.results import read_results, write_result
from benchmarks.runs import COLUMNS, SCHEMA, TABLE, collect, packed, read_rows, read_runs, row_of, unpacked

from .fake_results import fake_result, write_fakes

SETTINGS = {
    "local": None,
    "gate": True,
    "rate": 0.3,
    "levels": [1, -1],
    "network": "small",
    "odd": "1",
    "scorings": 8,
}
ODD = {"data": {"source": "a b", "size": 32}, "name": 'quote"', "none": "null"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    where = tmp_path_factory.mktemp("runs") / "mine"
    write_fakes(where)
    return where


def test_every_committed_row_has_the_form_that_the_schema_says() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    check = jsonschema.Draft202012Validator(SCHEMA)
    rows = read_rows(TABLE)
    assert len(rows) > 1000 and SCHEMA["required"] == list(COLUMNS)
    for row in rows:
        check.validate(row)
    broken = [{"accuracy_last": 90.0}, {"seed": "0"}, {"study": "My study"}, {"settings": ""}, {"colour": 1}]
    for change in broken:
        assert not check.is_valid({**rows[0], **change}), change


def test_committed_rows_are_sorted_and_none_is_there_twice() -> None:
    keys = [(row["study"], row["task"], row["method"], row["seed"]) for row in read_rows(TABLE)]
    assert keys == sorted(keys)
    assert max(Counter(keys).values()) == 1


def test_committed_details_are_those_of_the_rows() -> None:
    for study in dict.fromkeys(row["study"] for row in read_rows(TABLE)):
        for run in read_runs(TABLE, study):
            last = run["curve"][-1][run["metric"]]
            assert last == pytest.approx(run[run["metric"]]["last"], abs=1e-4)
            assert run["curve"][-1]["step"] == run["steps"]
            assert np.trace(run["confusion"]) / np.sum(run["confusion"]) == pytest.approx(run["accuracy"]["last"])


@pytest.mark.parametrize("settings", [SETTINGS, {}, ODD])
def test_settings_are_read_as_they_were_written(settings: dict) -> None:
    assert unpacked(packed(settings)) == settings


def test_settings_read_like_those_in_a_name() -> None:
    told = 'gate=true levels=[1,-1] local=null network=small odd="1" rate=0.3 scorings=8'
    assert packed(SETTINGS) == told


def test_results_come_out_of_the_table_as_they_went_in(folder: Path, tmp_path: Path) -> None:
    table = tmp_path / "table" / "runs.csv"
    assert collect([folder], "mine", table) == 24
    there = {(run["task"], run["method"], run["seed"]): run for run in read_runs(table)}
    assert len(there) == 24
    for wanted in read_results(folder):
        found = there[wanted["task"], wanted["method"], wanted["seed"]]
        wanted = {key: value for key, value in wanted.items() if key != "per_class_accuracy"}
        assert found.keys() == wanted.keys()
        for key in wanted.keys() - {"curve", "selected_by"}:
            assert found[key] == wanted[key], key
        for key in ("curve", "selected_by"):
            assert found[key] == rounded(wanted[key])


def test_a_report_on_the_table_is_that_on_the_folder(folder: Path, tmp_path: Path) -> None:
    table = tmp_path / "runs.csv"
    assert main(["collect", str(folder), "--table", str(table)]) == 0
    assert main(["report", str(table), "--studies", "mine", "--out", str(tmp_path / "report")]) == 0
    of_table, of_folder = (tmp_path / "report" / "report.md").read_text(), write_report(folder).read_text()
    assert of_table == of_folder
    assert "embedding" in of_table


def test_collecting_again_replaces_runs_and_leaves_the_others(tmp_path: Path) -> None:
    table = tmp_path / "runs.csv"
    write_result(tmp_path / "first", fake_result("digits", "mcc", 0, 0.5))
    write_result(tmp_path / "first", fake_result("digits", "dann", 0, 0.4))
    write_result(tmp_path / "second", fake_result("digits", "mcc", 0, 0.7))
    collect([tmp_path / "first"], "one", table)
    collect([tmp_path / "first"], "two", table)
    collect([tmp_path / "second"], "one", table)
    scores = {(row["study"], row["method"]): row["accuracy_last"] for row in read_rows(table)}
    assert scores == {("one", "dann"): 0.4, ("one", "mcc"): 0.7, ("two", "dann"): 0.4, ("two", "mcc"): 0.5}
    assert read_details(table)["one/digits__mcc__seed0"]["confusion"][0][0] == 70
    archive = tmp_path / "runs.tar.xz"
    before = table.read_bytes(), archive.read_bytes()
    collect([tmp_path / "second"], "one", table)
    assert before == (table.read_bytes(), archive.read_bytes())


def test_a_table_without_details_is_reported_too(folder: Path, tmp_path: Path) -> None:
    table = tmp_path / "runs.csv"
    collect([folder], "mine", table)
    (tmp_path / "runs.tar.xz").unlink()
    text = re.sub(" +", " ", write_report(table, out=tmp_path / "out").read_text())
    assert "| dmsrl | 76.0 ± 1.4 |" in text and "Confusion matrices" not in text


def test_a_target_without_labels_has_empty_cells(tmp_path: Path) -> None:
    blind = {"last": None, "selected": None, "oracle": None}
    result = fake_result("field", "dmsrl", 0, 0.5, accuracy=blind, balanced_accuracy=blind, confusion=None)
    write_result(tmp_path / "mine", result)
    collect([tmp_path / "mine"], "mine", tmp_path / "runs.csv")
    assert ",,,,," in (tmp_path / "runs.csv").read_text()
    (row,) = read_rows(tmp_path / "runs.csv")
    assert row["accuracy_last"] is None and row == row_of("mine", result)


def test_what_makes_no_table_is_refused_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = tmp_path / "runs.csv"
    (tmp_path / "empty").mkdir()
    assert main(["collect", str(tmp_path / "empty"), "--table", str(table)]) == 2
    assert "hold no results" in capsys.readouterr().err and not table.exists()
    write_result(tmp_path / "one", fake_result("digits", "mcc", 0, 0.5))
    for study in ("one", "two"):
        collect([tmp_path / "one"], study, table)
    assert main(["report", str(table), "--out", str(tmp_path / "out")]) == 2
    assert "two studies" in capsys.readouterr().err
    assert main(["report", str(table), "--studies", "three", "--out", str(tmp_path / "out")]) == 2
    assert "has no runs of three; it has one, two" in capsys.readouterr().err
    assert main(["report", str(table), "--studies", "one"]) == 2
    assert "--out" in capsys.readouterr().err
    assert main(["report", str(table), str(tmp_path / "one"), "--studies", "one", "--out", str(tmp_path / "out")]) == 2
    assert "two sources hold digits mcc 0" in capsys.readouterr().err
    table.write_text(table.read_text().replace("study,", "folder,", 1))
    with pytest.raises(ValueError, match="must have the columns study, task"):
        read_rows(table)


def test_nothing_is_lost_when_writing_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = tmp_path / "runs.csv"
    write_result(tmp_path / "one", fake_result("digits", "mcc", 0, 0.5))
    collect([tmp_path / "one"], "one", table)
    before = table.read_text()
    monkeypatch.setattr(runs, "key_of", lambda row: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        runs.write_rows(table, read_rows(table))
    assert table.read_text() == before


def test_the_schema_of_a_run_names_all_that_the_table_takes() -> None:
    of_run = json.loads((TABLE.parents[1] / "result.schema.json").read_text())["properties"]
    own = {"study", "selector_last", *(f"{m}_{p}" for m in runs.METRICS for p in runs.MOMENTS)}
    assert set(COLUMNS) - own <= set(of_run)

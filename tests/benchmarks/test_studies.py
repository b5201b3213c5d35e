"""Studies: their files, what is missing of them, and what README and docs quote of them."""

import re
from functools import partial
from pathlib import Path

import pytest

from benchmarks import cli, grid, quotes, studies
from benchmarks.cli import main
from benchmarks.commands import study as study_command
from benchmarks.methods import get_method
from benchmarks.provenance import ROOT, STALE
from benchmarks.quotes import BLOCK, DRAWN, PAGES, filled, quoted, studies_in
from benchmarks.results import write_result
from benchmarks.runs import TABLE, collect, read_rows
from benchmarks.studies import read_study, state, study_names
from benchmarks.tasks import task_names

from .fake_results import fake_result

TOML = """
title = "Two methods"
tasks = ["embedded"]
methods = ["mcc", "dmsrl"]
seeds = [0, 1]
steps = 30
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A table, a page and a study of one's own."""
    monkeypatch.setattr(quotes, "ROOT", tmp_path)
    monkeypatch.setattr(quotes, "PAGES", ("page.md",))
    monkeypatch.setattr(studies, "FOLDER", tmp_path / "studies")
    (tmp_path / "studies").mkdir()
    (tmp_path / "studies" / "mine.toml").write_text(TOML)
    (tmp_path / "page.md").write_text("Before.\n\n<!-- study mine: task --><!-- end -->\n\nAfter.\n")
    return tmp_path


@pytest.mark.parametrize("name", study_names())
def test_a_committed_study_is_whole_and_names_tasks_and_methods_that_there_are(name: str) -> None:
    study = read_study(name)
    assert study.title
    assert bool(study.tasks) + bool(study.of) + bool(study.commands) == 1
    assert set(study.tasks) <= set(task_names())
    assert all(get_method(method).name == method for method in study.methods)
    assert len(set(study.keys)) == len(study.keys)
    assert state(study).missing == []
    assert study.picture in (None, *DRAWN)


def test_the_table_has_no_runs_that_no_study_names() -> None:
    for name in dict.fromkeys(row["study"] for row in read_rows(TABLE)):
        keys = {(row["task"], row["method"], row["seed"]) for row in read_rows(TABLE, name)}
        assert keys == set(read_study(name).keys)


@pytest.mark.parametrize("page", PAGES)
def test_what_a_page_quotes_is_what_the_table_says(page: str) -> None:
    text = (ROOT / page).read_text()
    assert filled(text) == text, f"run `python -m benchmarks study NAME --no-runs` for {', '.join(studies_in(text))}"


def test_every_study_is_quoted_or_shown() -> None:
    text = "".join((ROOT / page).read_text() for page in PAGES)
    shown = {name for name in study_names() if f"pictures/{name}.png" in text}
    assert set(study_names()) == studies_in(text) | shown


def test_measurements_are_run_where_their_file_is_missing(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    toml = 'title = "Times"\n[commands]\n"there.json" = ["speed --rounds 2"]\n"gone.png" = ["regions a", "list"]\n'
    (own / "studies" / "mine.toml").write_text(toml)
    (own / "there.json").write_text('{"commit": "0123456789ab", "versions": {}}')
    called: list[list[str]] = []
    monkeypatch.setattr(studies, "ROOT", own)
    monkeypatch.setattr(cli, "main", lambda command: called.append(command))
    (own / "page.md").write_text("nothing")
    found = state(read_study("mine"))
    assert (found.total, found.missing, found.stale, found.hours) == (2, ["gone.png"], ["there.json"], None)
    assert main(["study", "mine"]) == 1 and called == [["regions", "a"], ["list"]]
    assert main(["study", "mine", "--redo-stale"]) == 1 and called[-1] == ["speed", "--rounds", "2"]


def test_the_pictures_that_are_committed_are_those_that_pages_show() -> None:
    text = "".join((ROOT / page).read_text() for page in PAGES)
    committed = {path.name for path in TABLE.with_name("pictures").glob("*")}
    assert committed == set(re.findall(r"benchmarks/results/pictures/([\w.-]+)\)", text))


@pytest.mark.parametrize("page", ["README.md", "docs/results.md"])
def test_figures_in_the_prose_are_figures_of_the_tables_on_the_page(page: str) -> None:
    """But for those of the round before, which are in no table."""
    text = (ROOT / page).read_text()
    section = text.partition("## Results")[2].partition("\n## ")[0] if page == "README.md" else text
    tables = set(re.findall(r"\d+\.\d+", "".join(found[4] for found in BLOCK.finditer(section))))
    prose = re.findall(r"(?<![\w.])\d+\.\d+(?![\w.])", BLOCK.sub("", section))
    assert len(tables) > 20
    assert [figure for figure in prose if figure not in tables] == []


def test_changing_a_quoted_figure_or_a_row_is_noticed(own: Path) -> None:
    fill = partial(filled, table=own / "runs.csv")
    write_result(own / "runs", fake_result("embedded", "mcc", 0, 0.5))
    collect([own / "runs"], "mine", own / "runs.csv")
    text = fill((own / "page.md").read_text())
    assert "| mcc    | 50.0 " in text and "Study `mine`: 1 runs, seed 0, 30 steps" in text
    assert text.startswith("Before.\n\n<!-- study mine: task -->\n\n|") and text.endswith("<!-- end -->\n\nAfter.\n")
    assert fill(text) == text
    assert fill(text.replace("50.0", "51.0")) == text
    (own / "runs.csv").write_text((own / "runs.csv").read_text().replace(",0.5,", ",0.6,"))
    assert fill(text) != text


def test_a_single_figure_stands_within_a_line(own: Path) -> None:
    write_result(own / "runs", fake_result("embedded", "mcc", 0, 0.5))
    collect([own / "runs"], "mine", own / "runs.csv")
    fill = partial(filled, table=own / "runs.csv")
    line = "MCC has <!-- study mine: scores | mcc | mean -->?<!-- end --> % here."
    assert fill(line) == "MCC has <!-- study mine: scores | mcc | mean -->50.0<!-- end --> % here."
    assert fill(line, "other") == line
    for wrong, told in (("scores | dann | mean", "no cell"), ("scores | mcc | mode", "no cell"), ("magic", "no view")):
        with pytest.raises(ValueError, match=told):
            quoted("mine", wrong, own / "runs.csv")
    with pytest.raises(ValueError, match="nothing for 'pairs'"):
        quoted("mine", "pairs", own / "runs.csv")


def test_runs_of_another_commit_than_ours_are_marked(own: Path) -> None:
    for method, commit in (("mcc", "aaa"), ("dann", "bbb"), ("dmsrl", "bbb")):
        write_result(own / "runs", fake_result("embedded", method, 0, 0.5, commit=commit))
    collect([own / "runs"], "mine", own / "runs.csv")
    text = quoted("mine", "task", own / "runs.csv")
    assert f"| mcc {STALE}" in text and "commit bbb" in text
    assert f"{STALE} has runs of another commit or other versions." in text
    assert f"dann {STALE}" not in text and f"dmsrl {STALE}" not in text


def test_what_is_missing_or_trained_otherwise_or_stale_is_told(own: Path) -> None:
    write_result(own / "runs", fake_result("embedded", "mcc", 0, 0.5))
    write_result(own / "runs", fake_result("embedded", "mcc", 1, 0.5, commit="0123456789ab"))
    write_result(own / "runs", fake_result("embedded", "dmsrl", 0, 0.5, steps=20))
    collect([own / "runs"], "mine", own / "runs.csv")
    found = state(read_study("mine"), own / "runs.csv")
    assert found.total == 4
    assert found.missing == [("embedded", "dmsrl", 0), ("embedded", "dmsrl", 1)]
    assert found.stale == [("embedded", "mcc", 1)]
    assert found.hours == pytest.approx(2 * 30 * 0.04 / 3600)


def test_the_command_runs_what_is_missing_and_fills_the_page(
    own: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    trained: list[tuple[str, int]] = []

    def do_all(runs, plan, place, folder, jobs, cluster, redo_stale):
        assert plan.steps == 30
        for run in runs:
            trained.append((run.method, run.seed))
            write_result(folder, fake_result(run.task, run.method, run.seed, 0.5))
        return [grid.Report(run, run.task, 0.5) for run in runs]

    monkeypatch.setattr(study_command, "do_all", do_all)
    write_result(own / "runs", fake_result("embedded", "mcc", 0, 0.5))
    write_result(own / "runs", fake_result("embedded", "mcc", 1, 0.5, commit="0123456789ab"))
    collect([own / "runs"], "mine", own / "runs.csv")
    command = ["study", "mine", "--out", str(own / "unfinished"), "--table", str(own / "runs.csv")]
    assert main([*command, "--no-runs"]) == 1 and trained == []
    assert main(command) == 0
    assert sorted(trained) == [("dmsrl", 0), ("dmsrl", 1)]
    assert "| dmsrl " in (own / "page.md").read_text()
    capsys.readouterr()
    assert main(command) == 0 and len(trained) == 2
    assert main(["studies", "--table", str(own / "runs.csv")]) == 0
    assert re.search(r"mine +4 of 4 +1 +0\.0 h +Two methods", capsys.readouterr().out)
    assert main([*command, "--redo-stale"]) == 0
    assert trained[2:] == [("mcc", 1)]
    assert state(read_study("mine"), own / "runs.csv").stale == []


def test_runs_that_fail_are_told_and_the_rest_is_kept(
    own: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def do_all(runs, plan, place, folder, *how):
        write_result(folder, fake_result("embedded", "mcc", 0, 0.5))
        return [grid.Report(run, run.task, error=None if run.method == "mcc" else "the floor gave way") for run in runs]

    monkeypatch.setattr(study_command, "do_all", do_all)
    assert main(["study", "mine", "--out", str(own / "unfinished"), "--table", str(own / "runs.csv")]) == 1
    assert "failed: embedded dmsrl seed 0, 1: the floor gave way" in capsys.readouterr().err
    assert [row["method"] for row in read_rows(own / "runs.csv")] == ["mcc"]


@pytest.mark.parametrize(
    ("text", "told"), [("colour = 1", "unknown keys: colour"), (None, "there is no study 'mine'; there are")]
)
def test_a_wrong_study_is_one_line(text: str | None, told: str, own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = own / "studies" / "mine.toml"
    path.write_text(TOML + text) if text else path.rename(path.with_name("other.toml"))
    assert main(["study", "mine"]) == 2
    assert told in capsys.readouterr().err

"""The search for settings, with training replaced by a formula: its best trial is known."""

import json
import re
import sys
from pathlib import Path

import pytest

from benchmarks.cli import main
from benchmarks.grid import Report, Run
from benchmarks.methods import get_method
from benchmarks.results import run_path
from benchmarks.tune import Search, distributions, next_settings, rows, tune

from .fake_results import fake_result

SEARCH = Search(("a", "b"), (0, 1), 10, "IMValidator")


class Grid:
    """Writes results whose scores are best where the weight is 1, without training; counts what it was asked for."""

    def __init__(self, folder: Path, breaks: str = "") -> None:
        self.folder, self.breaks, self.asked = folder, breaks, []

    def __call__(self, runs: list[Run]) -> list[Report]:
        reports = []
        for run in runs:
            self.asked.append(run)
            bad = bool(self.breaks) and self.breaks in run.method
            reports.append(Report(run, str(run.task), error="it broke" if bad else None))
            if not bad:
                weight = get_method(run.method).settings.get("weight", 3.0)
                score = 1 / (1 + abs(weight - 1.0))
                result = fake_result(str(run.task), run.method, run.seed, score)
                # the validator and the labels disagree
                result["curve"][-1]["validators"]["SNDValidator"] = weight
                path = run_path(self.folder, str(run.task), run.method, run.seed)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(json.dumps(result))
        return reports


def test_every_method_gets_the_same_number_of_trials_and_its_own_settings_first(tmp_path: Path) -> None:
    grid = Grid(tmp_path)
    log, failed = tune(["mcc", "bnm"], SEARCH, 8, tmp_path, grid)
    assert not failed and {name: len(trials) for name, trials in log["trials"].items()} == {"mcc": 8, "bnm": 8}
    for name, trials in log["trials"].items():
        assert trials[0]["name"] == name
        assert trials[0]["settings"] == {key: get_method(name).settings[key] for key in get_method(name).space}
        for trial in trials[1:]:
            settings = {key: get_method(trial["name"]).settings[key] for key in trial["settings"]}
            assert settings == trial["settings"]
            low, high = get_method(name).space["weight"]
            assert low <= trial["settings"]["weight"] <= high
    assert len(set(grid.asked)) == len(grid.asked) >= 2 * 8 * 4 - 8
    assert log["best"]["bnm"]["value"] == max(trial["value"] for trial in log["trials"]["bnm"])
    assert json.loads((tmp_path / "tuning.json").read_text()) == log
    assert rows(log)[1][:2] == ["mcc", "8"]


def test_an_interrupted_search_asks_for_what_is_missing_and_ends_alike(tmp_path: Path) -> None:
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    wanted, _ = tune(["mcc"], SEARCH, 7, whole, Grid(whole))
    tune(["mcc"], SEARCH, 4, halves, Grid(halves))
    later = Grid(halves)
    found, _ = tune(["mcc"], SEARCH, 7, halves, later)
    assert found == wanted
    first = {trial["name"] for trial in wanted["trials"]["mcc"][:4]}
    assert {run.method for run in later.asked} == {trial["name"] for trial in wanted["trials"]["mcc"][4:]} - first
    assert tune(["mcc"], SEARCH, 7, halves, Grid(halves)) == (wanted, []) and len(later.asked) == 12
    for other in (Search(("a",), (0, 1), 10, "IMValidator"), Search(("a", "b"), (0, 1), 10, "SNDValidator")):
        with pytest.raises(ValueError, match=r"tuning\.json is of a search with other (tasks|select_by)"):
            tune(["mcc"], other, 7, halves, Grid(halves))


def test_the_one_who_picks_decides(tmp_path: Path) -> None:
    best = {}
    for select_by in ("SNDValidator", "validation"):
        search = Search(("a",), (0,), 10, select_by)
        log, _ = tune(["bnm"], search, 10, tmp_path / select_by, Grid(tmp_path / select_by))
        best[select_by] = log["best"]["bnm"]["settings"]["weight"]
        weights = [trial["settings"]["weight"] for trial in log["trials"]["bnm"]]
        wanted = max(weights) if select_by == "SNDValidator" else min(weights, key=lambda weight: abs(weight - 1))
        assert best[select_by] == wanted
    assert best["SNDValidator"] != best["validation"]


def test_a_method_whose_run_fails_stops_no_other(tmp_path: Path) -> None:
    log, failed = tune(["mcc", "bnm"], SEARCH, 3, tmp_path, Grid(tmp_path, breaks="mcc["))
    assert {name: len(trials) for name, trials in log["trials"].items()} == {"mcc": 1, "bnm": 3}
    assert {report.error for report in failed} == {"it broke"}
    log, failed = tune(["mcc", "bnm"], SEARCH, 3, tmp_path, Grid(tmp_path))  # mended
    assert not failed and len(log["trials"]["mcc"]) == 3


def test_the_search_leads_to_where_the_score_is_best() -> None:
    method, trials = get_method("bnm"), []
    for _ in range(16):
        settings = next_settings(method, trials)
        trials.append({"settings": settings, "value": -abs(settings["weight"] - 3.0)})
    assert abs(max(trials, key=lambda trial: trial["value"])["settings"]["weight"] - 3.0) < 0.6
    diverged = [{"settings": {"weight": 1.0}, "value": None}] * 6
    assert 0.1 <= next_settings(method, diverged)["weight"] <= 10


def test_what_has_nothing_to_tune_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="source_only has nothing to tune"):
        distributions(get_method("source_only"))
    assert main(["tune", "--tasks", "embedded", "--methods", "source_only", "--out", str(tmp_path)]) == 2
    assert "source_only has nothing to tune" in capsys.readouterr().err


def test_without_optuna_the_search_says_what_to_install(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "benchmarks.tune")
    monkeypatch.setitem(sys.modules, "optuna", None)
    assert main(["tune"]) == 2
    assert capsys.readouterr().err == "error: tune needs optuna: python -m pip install '.[bench]'\n"


def test_the_command_line_trains_and_names_the_best(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["tune", "--tasks", "embedded", "--methods", "bnm", "--trials", "2", "--steps", "2", "--jobs", "1"]
    assert main([*command, "--out", str(tmp_path)]) == 0
    assert re.search(r"bnm +2 +-?\d\.\d+ +-?\d\.\d+ +bnm", capsys.readouterr().out)
    assert len(list(tmp_path.glob("embedded__bnm*.json"))) == 2
    assert {json.loads(path.read_text())["score_on"] for path in tmp_path.glob("embedded*.json")} == {"validation"}

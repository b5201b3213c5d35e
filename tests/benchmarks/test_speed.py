import json

import pytest
import torch

from benchmarks import speed
from benchmarks.cli import main


def test_ratio_is_the_median_over_rounds_of_the_ratios():
    seconds = {"bare": [1.0, 2.0, 4.0], "other": [2.0, 2.0, 2.0]}
    assert speed.ratios(seconds, "bare") == {"bare": 1.0, "other": 1.0}


def test_every_name_is_called_once_a_round_in_turn():
    calls = []
    steps = {name: lambda name=name: calls.append(name) for name in ("bare", "other")}
    seconds = speed.step_times(steps, 2, torch.device("cpu"))
    assert calls == ["bare", "other"] * (speed.WARM_UP + 2)
    assert {name: len(of_name) for name, of_name in seconds.items()} == {"bare": 2, "other": 2}


@pytest.mark.parametrize("part", speed.BASELINES)
def test_command_prints_and_writes_the_ratios(monkeypatch, tmp_path, capsys, part):
    monkeypatch.setattr(speed, "WARM_UP", 0)
    monkeypatch.setattr(speed, "METHODS", ("dann", "dmsrl"))
    settings = ["--network", "resnet10t", "--size", "32", "--batch-size", "2", "--rounds", "1"]
    assert main(["speed", part, *settings, "--out", str(tmp_path)]) == 0
    kinds = {f"dmsrl without {kind}" for kind in speed.DEFAULT.kinds if kind != "classification"}
    names = {"step": {"dann", "dmsrl"}, "parts": {"dann", "dmsrl", *kinds}, "backbone": {"bare", *speed.WRAPPED}}[part]
    (path,) = tmp_path.glob("*.json")
    assert path.name.startswith("speed-" if part == "step" else f"speed-{part}-")
    result = json.loads(path.read_text())
    assert result["ratio"].keys() == names
    assert result["ratio"][result["baseline"]] == 1.0
    printed = capsys.readouterr().out
    assert all(name in printed for name in names)

import json

import pytest
import torch

from benchmarks import endurance
from benchmarks.cli import main


@pytest.mark.parametrize("precision", endurance.PRECISIONS)
def test_command_trains_in_any_precision_and_writes_what_it_took(precision, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(endurance, "EVERY", 1)
    monkeypatch.setattr(endurance, "SETTLED", 1)
    assert main(["endurance", "--steps", "3", "--precision", precision, "--seed", "4", "--out", str(tmp_path)]) == 0
    result = json.loads((tmp_path / f"endurance-{precision}-3-seed4.json").read_text())
    assert result["seed"] == 4 and result["losses_are_finite"] and 0 <= result["accuracy"] <= 1
    assert list(result["memory_mib"]) == ["1", "2", "3"] and result["memory_growth"] >= 0
    assert len(result["seconds_per_step"]) == 3
    things = result["threads_and_handles"]
    assert things["before"]["files"] == things["after"]["files"]
    assert things["before"]["python_threads"] == things["after"]["python_threads"]
    assert "losses_are_finite: True" in capsys.readouterr().out


def test_growth_is_of_the_largest_over_the_first():
    assert endurance.growth([100.0, 103.0, 101.0]) == pytest.approx(0.03)
    assert endurance.growth([]) is None


def test_step_whose_scaled_gradients_overflow_changes_nothing():
    class Adapter:
        models = torch.nn.ModuleDict({"C": torch.nn.Linear(2, 1)})
        optimizers = {"C": torch.optim.Adam(models.parameters())}  # noqa: RUF012

    backward, (opt,) = endurance.scaled_backward(Adapter()), Adapter.optimizers.values()
    before = Adapter.models["C"].weight.clone()
    for factor in (1e38, 1.0):
        opt.zero_grad()
        backward(factor * Adapter.models["C"](torch.ones(3, 2)).sum())
        opt.step()
        assert torch.equal(Adapter.models["C"].weight, before) == (factor > 1)

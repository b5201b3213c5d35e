"""The peak of memory that a run needs."""

import json
import mmap

import numpy as np
import pytest
import torch

from benchmarks import endurance
from benchmarks.cli import main
from dmsrl_adapt.trainer.peak_memory import peak_memory, start_peak_memory

CPU, MIB = torch.device("cpu"), 200


def test_peak_is_in_mib_and_of_the_time_since_the_start() -> None:
    start_peak_memory(CPU)
    before = peak_memory(CPU)
    if before is None:
        pytest.skip("this system does not tell")
    kept = mmap.mmap(-1, MIB * 2**20)  # an array may get memory that an earlier test has left to this process
    np.frombuffer(kept, dtype=np.uint8)[:] = 1
    after = peak_memory(CPU)
    assert after is not None and 0.9 * MIB < after - before < 1.3 * MIB
    kept.close()
    assert peak_memory(CPU) == pytest.approx(after, abs=0.1 * MIB)
    start_peak_memory(CPU)
    assert peak_memory(CPU) == pytest.approx(before, abs=0.3 * MIB)


@pytest.mark.parametrize("precision", endurance.PRECISIONS)
def test_command_trains_in_any_precision_and_writes_what_it_took(precision, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(endurance, "EVERY", 1)
    monkeypatch.setattr(endurance, "SETTLED", 1)
    assert main(["endurance", "--steps", "3", "--precision", precision, "--seed", "4", "--out", str(tmp_path)]) == 0
    told = json.loads((tmp_path / "endurance.json").read_text())
    (result,) = told["runs"]
    assert [row[0] for row in endurance.rows(told)] == ["precision", precision]
    assert result["seed"] == 4 and result["losses_are_finite"] and 0 <= result["accuracy"] <= 1
    assert list(result["memory_mib"]) == ["1", "2", "3"] and result["memory_growth"] >= 0
    assert len(result["seconds_per_step"]) == 3
    things = result["threads_and_handles"]
    assert things["before"]["files"] == things["after"]["files"]
    assert things["before"]["python_threads"] == things["after"]["python_threads"]
    assert "losses_are_finite: True" in capsys.readouterr().out


def test_runs_of_one_file_are_kept_and_one_of_the_same_kind_is_replaced(tmp_path, monkeypatch):
    def run(steps, precision, seed):
        return {"precision": precision, "steps": steps, "seed": seed, "versions": {}, "commit": next(commits)}

    commits = iter("abc")
    monkeypatch.setattr(endurance, "endure", run)
    for seed in (1, 0, 1):
        endurance.write_endurance(tmp_path, 3, "float32", seed)
    told = json.loads((tmp_path / "endurance.json").read_text())
    assert [(one["seed"], one["commit"]) for one in told["runs"]] == [(0, "b"), (1, "c")]
    assert told["commit"] == "c"


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

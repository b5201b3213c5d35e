"""Several processes give what one process with all samples gives."""

import sys

import pytest
import torch

from .ddp_process import NUM_TARGET, STEPS, train
from .scripts import ROOT, finish, start


def run(folder, processes, kind="equal"):
    """Runs all processes to their end, and gives their results."""
    common = ["-W", "ignore", "-m", "tests.ddp_process", str(folder)]
    started = [start(*common, str(number), str(processes), kind) for number in range(processes)]
    for process in started:
        finish(process)
    return [torch.load(folder / f"result{number}.pt") for number in range(processes)]


@pytest.mark.parametrize("processes", [2, 4])
def test_processes_train_the_networks_of_one(processes, tmp_path):
    alone, results = train(), run(tmp_path, processes)
    assert len(alone["losses"]) == STEPS
    for step, losses in enumerate(alone["losses"]):
        for key, loss in losses.items():
            mean = sum(result["losses"][step][key] for result in results) / processes
            assert mean == pytest.approx(loss, rel=1e-4, abs=1e-5), (step, key)
    for key, module in alone["states"].items():
        for name, value in module.items():
            of_all = [result["states"][key][name] for result in results]
            assert all(torch.equal(one, of_all[0]) for one in of_all if name not in ("labels", "weights"))
            if name not in ("labels", "weights"):
                torch.testing.assert_close(of_all[0], value, rtol=1e-4, atol=1e-5, msg=f"{key}.{name}")
    # each process has seen a part of the samples, and after a pass every one has the labels of all
    for result in results:
        assert torch.equal(result["labels"], alone["labels"])
    assert len(alone["labels"]) == NUM_TARGET and (alone["labels"] >= 0).all()


def test_unequal_numbers_of_batches_are_an_error_and_no_wait(tmp_path):
    with pytest.raises(AssertionError, match=r"all processes must take the same number of steps, got \[6, 5\]"):
        run(tmp_path, 2, "unequal")


def test_example_runs_by_torchrun(tmp_path):
    torchrun = ["-W", "ignore", "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    printed = finish(start(*torchrun, str(ROOT / "examples" / "ddp.py"), "1", cwd=tmp_path))
    assert printed.count("target accuracy") == 1, sys.executable

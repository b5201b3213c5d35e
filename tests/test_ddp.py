"""Several processes give what one process with all samples gives."""

import sys

import pytest
import torch

from .ddp_process import CLASSES, DIM, NUM_TARGET, STEPS, train
from .scripts import ROOT, finish, start


@pytest.fixture(scope="module")
def folder(tmp_path_factory, forks):
    """Holds the results of several processes."""
    path = tmp_path_factory.mktemp("ddp")
    forks.finish("-m", "tests.ddp_process", str(path), seconds=900)
    return path


def read(folder, processes):
    return [torch.load(folder / f"result{number}.pt") for number in range(processes)]


@pytest.mark.parametrize("processes", [2, 4])
def test_processes_train_the_networks_of_one(processes, folder):
    alone, results = train(), read(folder / str(processes), processes)
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
    assert len(alone["labels"]) == NUM_TARGET and (alone["labels"] >= 0).sum() > NUM_TARGET / 2


@pytest.mark.parametrize("processes", [2, 4])
def test_processes_warm_up_and_augment_more_as_they_learn(processes, folder):
    """The comparison with one process alone would pass if neither had a warm-up or an accuracy gate."""
    results = read(folder / str(processes), processes)
    for key in ("consistency_loss", "mcc_loss"):
        first, *later = (max(result["losses"][step][key] for result in results) for step in range(STEPS))
        assert first == 0 < min(later)
    augmented = [sum(result["numbers_augmented"][step] for result in results) for step in range(STEPS)]
    assert augmented == train()["numbers_augmented"]
    assert augmented[0] == 0 < augmented[-1]


def test_a_step_exchanges_at_most_what_the_page_tells(folder):
    absent = 2 * CLASSES**2 + 13 * CLASSES + 5 - 2 * CLASSES  # of a step in which the labeller is told of no class
    most = absent + 2 * CLASSES * (DIM + 1)
    (count,) = {result["exchanged"] for result in read(folder / "2", 2)}
    assert STEPS * (absent + CLASSES * (DIM + 1)) < count <= STEPS * most  # all classes of the source are there


def test_a_pass_exchanges_what_the_page_tells(folder):
    for processes in (2, 4):
        counts = {result["exchanged_in_pass"] for result in read(folder / str(processes), processes)}
        assert counts == {2 * NUM_TARGET + 3 * CLASSES + 2}


def test_unequal_numbers_of_batches_are_an_error_and_no_wait(folder):
    expected = "all processes must take the same number of steps, got [6, 5]; see docs/robustness.md"
    assert read(folder / "unequal", 2) == [expected, expected]


def test_example_runs_by_torchrun(tmp_path):
    torchrun = ["-W", "ignore", "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    example = ["-m", "tests.short_epochs", str(ROOT / "examples" / "ddp.py"), "1"]
    printed = finish(start(*torchrun, *example, cwd=tmp_path))
    assert printed.count("target accuracy") == 1, sys.executable

"""The count of right pseudo labels: the network is that of the benchmark's loop, and labels are counted as they are."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import labels
from benchmarks.cli import main
from benchmarks.labels import CLASSIFIER, LABELERS, measure, trained
from benchmarks.methods import get_method
from benchmarks.tasks import TUNING, Split, Task, task_names
from benchmarks.training import Plan, infer, train


def heaps(size: int, shift: float) -> Split:
    """Feature vectors in two heaps."""
    truth = torch.arange(size) % 2
    return Split(2.0 * truth[:, None] + shift + 1.5 * torch.randn(size, 4), truth)


@pytest.fixture
def task() -> Task:
    parts = [heaps(size, shift) for size, shift in ((80, 0.0), (60, 0.4), (20, 0.4), (20, 0.4))]
    return Task("heaps", ("low", "high"), *parts)


def test_tasks_are_those_for_choosing_settings() -> None:
    assert set(TUNING) <= set(task_names())
    assert len(TUNING) == len(set(TUNING)) == 14
    kinds = Counter(name.split("-")[0] for name in TUNING)
    assert kinds == {
        "embedded": 1,
        "mnist": 1,
        "usps": 1,
        "pacs": 2,
        "pacs_vectors": 2,
        "oc": 2,
        "oc_vectors": 2,
        "bearing": 2,
        "bearing_spectra": 1,
    }


def test_network_is_that_of_the_training_loop(task: Task) -> None:
    outcome = train(task, get_method("source_only"), 3, Plan(steps=6, scorings=1))
    found = infer(trained(task, 3, 6), task.target_test.inputs, 1)["logits"].argmax(1)
    assert np.array_equal(found.numpy(), outcome.predictions)


def test_right_labels_are_counted_and_the_truth_is_used_for_nothing_else(task: Task) -> None:
    shares = measure(task, 0, 20)
    assert list(shares) == [CLASSIFIER, *LABELERS]
    assert all(0.6 < of_one["all"] < 1 for of_one in shares.values())
    truth = task.target_train.known_labels
    turned = Task(
        task.name, task.classes, task.source, Split(task.target_train.inputs, 1 - truth), *2 * [task.target_test]
    )
    for name, of_one in measure(turned, 0, 20).items():
        assert of_one["all"] == pytest.approx(1 - shares[name]["all"], abs=1e-5)
        if name != CLASSIFIER:
            assert of_one["kept"] == shares[name]["kept"] > 0
            assert of_one["right_of_kept"] == pytest.approx(1 - shares[name]["right_of_kept"], abs=1e-5)


def test_command_writes_and_prints(
    task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(labels, "load_task", lambda name, place: task)
    assert (
        main(["labels", "--tasks", "mnist-usps,embedded", "--seeds", "0,1", "--steps", "3", "--out", str(tmp_path)])
        == 0
    )
    result = json.loads((tmp_path / "labels.json").read_text())
    assert [(run["task"], run["seed"]) for run in result["runs"]] == [
        (name, seed) for seed in (0, 1) for name in ("mnist-usps", "embedded")
    ]
    assert result["settings"]["steps"] == 3
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()[-6:-1]] == [
        "right",
        "-" * 15,
        "mnist-usps",
        "embedded",
        "mean",
    ]

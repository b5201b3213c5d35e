"""A run that is killed goes on from its checkpoint and ends as if nothing had happened; what is counted on the way."""

import json
import signal
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.cli import main
from benchmarks.methods import get_method
from benchmarks.results import read_results
from benchmarks.tasks import Split, Task
from benchmarks.tasks.own_data import task_name
from benchmarks.training import Outcome, Plan, batches, picked, summary, train
from dmsrl_adapt.trainer.checkpoint import Checkpoint
from dmsrl_adapt.trainer.kept_labels import KeptLabels
from dmsrl_adapt.trainer.validators import VALIDATORS, label_free_scores
from dmsrl_adapt.training.checkpoints import read

from ..scripts import start

PLAN = Plan(steps=12, batch_size=16, scorings=4)


class Killed(Exception):
    """Stands for the end of a process."""


def kill_at(wanted: int):
    def on_step(step: int) -> None:
        if step == wanted:
            raise Killed

    return on_step


# a memory in a hook, random noise, gradient reversal, a labeller, an estimator with its own optimizer
@pytest.mark.parametrize("name", ["atdoc", "vada", "cdan", "dmsrl", "dmsrl[mi=TwoBranchMI]"])
def test_a_killed_run_ends_as_one_that_was_not(name: str, vectors: Task, tmp_path: Path) -> None:
    method, whole = get_method(name), Checkpoint(tmp_path / "whole", {})
    wanted = train(vectors, method, 0, PLAN, checkpoint=whole)
    for step in (5, 8, 11):  # once before the first scoring after the last checkpoint, and twice later on
        with pytest.raises(Killed):
            train(vectors, method, 0, PLAN, kill_at(step), Checkpoint(tmp_path / "run", {}))
    steps: list[int] = []
    resumed = train(vectors, method, 0, PLAN, steps.append, Checkpoint(tmp_path / "run", {}))
    assert steps == [10, 11, 12]
    assert resumed.curve == wanted.curve
    assert np.array_equal(resumed.predictions, wanted.predictions)
    assert train(vectors, method, 0, PLAN).curve == wanted.curve  # a checkpoint changes nothing


def test_how_often_a_run_is_scored_does_not_change_its_training(vectors: Task) -> None:
    rarely, often = (train(vectors, get_method("vada"), 0, replace(PLAN, scorings=count)) for count in (1, 6))
    assert rarely.curve[-1]["losses"] == often.curve[-1]["losses"]


def test_the_checkpoint_of_another_run_or_a_damaged_one_is_not_used(vectors: Task, tmp_path: Path) -> None:
    method, path = get_method("mcc"), tmp_path / "run"
    with pytest.raises(Killed):
        train(vectors, method, 0, PLAN, kill_at(5), Checkpoint(path, {"settings": {"weight": 1}}))
    steps: list[int] = []
    train(vectors, method, 0, PLAN, steps.append, Checkpoint(path, {"settings": {"weight": 2}}))
    assert steps[0] == 1
    for one in path.iterdir():
        one.write_bytes(one.read_bytes()[:200])
    steps.clear()
    with pytest.warns(UserWarning, match="cannot be read as a checkpoint"):
        train(vectors, method, 0, PLAN, steps.append, Checkpoint(path, {"settings": {"weight": 2}}))
    assert steps[0] == 1
    Checkpoint(path, {}).remove()
    assert not path.exists()


def test_batches_go_on_where_they_were(vectors: Task) -> None:
    whole, later = batches(vectors, 16, False, 3), batches(vectors, 16, False, 3, done=7)
    for _ in range(7):
        next(whole)
    for _ in range(5):
        first, second = next(whole), next(later)
        assert torch.equal(first["src_sample_idx"], second["src_sample_idx"])
        assert torch.equal(first["target_imgs"], second["target_imgs"])


def test_a_grid_whose_process_is_killed_goes_on_and_ends_with_the_same_result(
    feature_npz: Path, tmp_path: Path
) -> None:
    command = ["run", "--source", str(feature_npz), "--target", str(feature_npz), "--jobs", "1"]
    command += ["--methods", "mcc", "--seeds", "0", "--steps", "400", "--out"]
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    process = start("-m", "benchmarks", *command, str(killed))
    folder = killed / f"{task_name(feature_npz, feature_npz)}__mcc__seed0.checkpoints"
    deadline = time.monotonic() + 240
    while not any(folder.glob("*.pt")) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not folder.with_suffix(".json").exists()
    held = read(max(folder.glob("*.pt")))["states"]["run"]["kept"]["curve"]
    assert main([*command, str(killed)]) == 0 and not folder.exists()
    assert main([*command, str(whole)]) == 0
    (one,), (other,) = read_results(killed), read_results(whole)
    assert one["curve"] == other["curve"] and one["confusion"] == other["confusion"]
    assert one["curve"][: len(held)] == held


def test_kept_labels_are_counted_by_hand(vectors: Task) -> None:
    from types import SimpleNamespace

    class Labeler(torch.nn.Module):
        def forward(self, features: torch.Tensor, sample_idx: torch.Tensor | None = None) -> SimpleNamespace:
            return SimpleNamespace(labels=features)

        def step(self, source, source_labels, target, sample_idx, class_probs, known) -> SimpleNamespace:
            return SimpleNamespace(labels=target)

    labeler, truth = Labeler(), torch.tensor([0, 1, 2, 0])
    kept = KeptLabels(SimpleNamespace(misc={"pseudo_labeler": labeler}), truth)
    labeler(torch.tensor([0, -1]), sample_idx=torch.tensor([3, 1]))
    assert labeler.step(None, None, torch.tensor([0, 1]), torch.tensor([2, 1]), None, None).labels.tolist() == [0, 1]
    labeler(torch.tensor([0]))  # stores nothing, such as a prediction
    assert kept.look() == {"pseudo_labels": {"kept": 3 / 4, "accuracy": pytest.approx(2 / 3)}}
    labeler(torch.tensor([-1]), sample_idx=torch.tensor([0]))
    assert kept.look() == {"pseudo_labels": {"kept": 0.0, "accuracy": None}}
    blind = KeptLabels(SimpleNamespace(misc={"pseudo_labeler": labeler}), None)
    labeler(torch.tensor([1]), sample_idx=torch.tensor([0]))
    assert blind.look() == {"pseudo_labels": {"kept": 1.0, "accuracy": None}}
    assert KeptLabels(SimpleNamespace(misc={}), truth).look() == {}


def test_the_curve_tells_of_the_labels_of_a_method_that_has_them(vectors: Task) -> None:
    points = train(vectors, get_method("dmsrl_published"), 0, PLAN).curve
    assert all(point["pseudo_labels"]["kept"] == 1.0 for point in points)
    of_prototypes = train(vectors, get_method("dmsrl"), 0, PLAN).curve
    assert all(0 < point["pseudo_labels"]["kept"] <= 1 for point in of_prototypes)
    assert points[-1]["pseudo_labels"]["accuracy"] > 0.5
    assert not any("pseudo_labels" in point for point in train(vectors, get_method("mcc"), 0, PLAN).curve)


def test_every_validator_picks_its_own_step(vectors: Task) -> None:
    scores = {"IMValidator": [1, 3, 2], "SNDValidator": [3, None, 1], "BNMValidator": [None] * 3}
    scores["ClassClusterValidator"] = [0, 0, 1]
    curve = [
        {
            "accuracy": 0.1 * step,
            "balanced_accuracy": 0.2 * step,
            "validators": {name: of_step[step] for name, of_step in scores.items()},
        }
        for step in range(3)
    ]
    blind = replace(vectors, target_test=Split(vectors.target_test.inputs, None))
    said = summary(blind, Outcome(adapter=None, curve=curve), PLAN)
    assert {name: picked(curve, name)["accuracy"] for name in VALIDATORS} == pytest.approx(
        {"IMValidator": 0.1, "SNDValidator": 0.0, "BNMValidator": 0.0, "ClassClusterValidator": 0.2}
    )
    assert said["selected_by"]["ClassClusterValidator"] == {"accuracy": 0.2, "balanced_accuracy": 0.4}
    assert said["accuracy"]["selected"] == said["selected_by"]["IMValidator"]["accuracy"]


def test_validators_like_confident_balanced_clusters_and_say_nothing_of_a_model_that_diverged() -> None:
    centres = 6 * torch.eye(3)
    clear = centres.repeat(30, 1) + 0.1 * torch.randn(90, 3, generator=torch.Generator().manual_seed(0))
    vague = torch.randn(90, 3, generator=torch.Generator().manual_seed(1)) / 10

    def scores(features: torch.Tensor) -> dict[str, float | None]:
        return label_free_scores({"features": features, "logits": features, "preds": features.softmax(1)})

    good, bad = scores(clear), scores(vague)
    assert all(good[name] > bad[name] for name in ("IMValidator", "BNMValidator", "ClassClusterValidator"))
    assert scores(torch.full((4, 3), torch.nan)) == dict.fromkeys(VALIDATORS)
    assert json.loads(json.dumps(good)) == good

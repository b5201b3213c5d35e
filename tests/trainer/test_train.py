"""Training on one's own data by one call or command: what it writes, what it refuses, and that it resumes exactly."""

import csv
import json
import os
import resource
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import dmsrl_adapt
from dmsrl_adapt import Model, Recipe
from dmsrl_adapt.cli import main
from dmsrl_adapt.data import DataError
from dmsrl_adapt.parts import SourceClassification
from dmsrl_adapt.training.checkpoints import read

from ..scripts import start
from .conftest import command


def vectors(classes: int = 3, count: int = 60, shift: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Clusters of vectors, float32 (count, 8), with their labels."""
    generator = np.random.RandomState(0)
    labels = np.arange(count) % classes
    return (3 * np.eye(8)[labels] + shift + generator.randn(count, 8)).astype(np.float32), labels


def train_vectors(out: Path, **arguments: object) -> dmsrl_adapt.trainer.Run:
    """A short run on vectors."""
    usual = {"out": out, "steps": 30, "batch_size": 16, "is_shown": False}
    return dmsrl_adapt.train(vectors(), vectors(shift=0.5), **{**usual, **arguments})


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_three_commands_label_photographs_as_phones_make_them(
    photos: Path, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new" / "labels.csv"
    assert main(["predict", str(trained / "model.pt"), str(photos / "third"), "--out", str(out), "--workers", "0"]) == 0
    rows = read_csv(out)
    # six of each class, the large one, no text file
    assert len(rows) == 13 and {"holiday/sky/IMG_06.JPG", "wall large.jpg"} < {row["file"] for row in rows}
    assert all(row["label"] in row["file"] for row in rows)
    assert all(0.5 <= float(row["confidence"]) <= 1 for row in rows)
    printed = capsys.readouterr().out
    assert printed.startswith(f"{out}\n{out.with_suffix('.png')}\n")
    assert [line.split() for line in printed.splitlines()[-2:]] == [["wall", "7"], ["sky", "6"]]


def test_a_run_writes_its_files_and_a_model_without_code(photos: Path, trained: Path) -> None:
    assert {"model.pt", "run.json", "target.csv", "logs"} < {path.name for path in trained.iterdir()}
    content = torch.load(trained / "model.pt", weights_only=True)
    assert content["classes"] == ["sky", "wall"] and content["is_finished"] and content["step"] == 60
    assert content["settings"]["model"] == "test_resnet" and content["versions"]["torch"]
    assert content["preprocessing"]["shape"] == [3, 24, 24]
    assert content["examples"].untyped_storage().nbytes() == 8 * 3 * 24 * 24
    assert len(read_csv(trained / "target.csv")) == 48
    facts = json.loads((trained / "run.json").read_text())
    assert [point["step"] for point in facts["curve"]] == [8, 15, 22, 30, 38, 45, 52, 60]
    assert facts["accuracy"] is None and facts["settings"]["source"] == str((photos / "lab").resolve())
    losses = read_csv(next(trained.glob("logs/csv/*/metrics.csv")))
    assert {"total_loss/src_c_loss", "selector", "step"} <= losses[-1].keys()


def test_the_call_gives_the_model_its_accuracy_and_predictions(tmp_path: Path) -> None:
    run = train_vectors(tmp_path / "run")
    inputs, labels = vectors(shift=0.5)
    found = run.model.predict(inputs)
    assert run.accuracy is not None and run.accuracy > 0.9
    assert run.accuracy == pytest.approx(np.mean([int(label) for label in found["label"]] == labels))
    again = Model.load(run.folder / "model.pt").predict(inputs)
    assert again["confidence"] == found["confidence"] and again["label"] == found["label"]


def test_labels_of_the_target_change_nothing(tmp_path: Path) -> None:
    labelled, blind = (train_vectors(tmp_path / name) for name in ("a", "b"))
    blind = dmsrl_adapt.train(
        vectors(), vectors(shift=0.5)[0], out=tmp_path / "c", steps=30, batch_size=16, is_shown=False
    )
    for one, other in zip(labelled.model.C.parameters(), blind.model.C.parameters(), strict=True):
        assert torch.equal(one, other)
    assert blind.accuracy is None


def test_source_only_is_a_recipe(tmp_path: Path) -> None:
    run = train_vectors(tmp_path / "run", recipe="source_only")
    assert dmsrl_adapt.recipe.RECIPES["source_only"] == Recipe(SourceClassification())
    assert set(run.curve[-1]["losses"]["total_loss"]) == {"src_c_loss", "total"}


class Killed(Exception):
    """Stands for the end of a process."""


def test_a_killed_run_resumes_to_the_same_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = train_vectors(tmp_path / "whole", accumulate=2)
    shown = dmsrl_adapt.trainer.progress_bar.ProgressBar.__call__

    def killed(bar: object, step: object, progress: object) -> None:
        if step.number == 21:
            raise Killed
        shown(bar, step, progress)

    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(dmsrl_adapt.trainer.progress_bar.ProgressBar, "__call__", killed)
        train_vectors(tmp_path / "killed", accumulate=2)
    with pytest.raises(ValueError, match="has this run already; continue it by resume"):
        train_vectors(tmp_path / "killed", accumulate=2)
    with pytest.raises(ValueError, match=r"has another run, with seed = 0, not 1; name another out"):
        train_vectors(tmp_path / "killed", accumulate=2, seed=1)
    torch.manual_seed(77)
    resumed = train_vectors(tmp_path / "killed", accumulate=2, resume=True)
    for key, value in whole.model.classifier.state_dict().items():
        assert torch.equal(value, resumed.model.classifier.state_dict()[key]), key
    assert [point["losses"] for point in resumed.curve] == [point["losses"] for point in whole.curve]


def test_ctrl_c_leaves_a_usable_model(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    process = start(
        "-W", "ignore", "-m", "dmsrl_adapt", *command(photos, out, "--steps", "100000", "--scorings", "20000")
    )
    deadline = time.monotonic() + 240
    while not list(out.glob("checkpoints/*.pt")) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGINT)
    errors = process.communicate(timeout=120)[1]
    assert process.returncode == 130 and "interrupted after step" in errors and "Traceback" not in errors, errors
    assert len(Model.load(out / "model.pt").predict(photos / "third")) == 13


def test_a_full_disk_is_one_error_and_the_run_goes_on_from_its_checkpoint(photos: Path, tmp_path: Path) -> None:
    out, steps = tmp_path / "run", ("--steps", "3000", "--scorings", "600")
    process = start("-W", "ignore", "-m", "dmsrl_adapt", *command(photos, out, *steps))
    deadline = time.monotonic() + 240
    while not list(out.glob("checkpoints/*.pt")) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (4000, 4000))
    errors = process.communicate(timeout=300)[1]
    assert process.returncode == 2 and "Traceback" not in errors, errors
    assert "cannot be written: " in errors.splitlines()[-1]
    found = sorted(out.glob("checkpoints/step_*.pt"))
    done = int(found[-1].stem.removeprefix("step_"))
    assert len(found) >= 1 and 5 <= done < 3000 and read(found[-1])["step"] == done


def test_other_files_are_not_written_over(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "diary.txt").write_text("my diary")
    assert main(command(photos, tmp_path)) == 2
    assert f"error: {tmp_path} must be a new or an empty folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"batch_size": 1}, "batch_size must be at least 2, got 1"),
        ({"steps": 0}, "steps must be at least 1"),
        ({"steps": 1, "epochs": 1}, "steps and epochs cannot be given together"),
        ({"recipe": "best"}, "recipe must be one of"),
        ({"augment": "photo"}, "augment must be 'none' or a function for the kind 'vector'"),
        ({"augment": "flip"}, "augment must be 'photo', 'none' or a function, got 'flip'"),
        ({"class_weights": [1, 2]}, "class_weights must be 3 numbers above 0"),
        ({"class_weights": [1, 1, 1], "loss_fn": print}, "cannot be given together"),
        ({"loggers": ["wandb"]}, "loggers must be of csv, tensorboard"),
        ({"lr": 0.0}, "lr must be above 0"),
        ({"clip": -1.0}, "clip must be above 0"),
    ],
)
def test_wrong_arguments_are_one_error(wrong: dict[str, object], told: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=told):
        train_vectors(tmp_path / "run", **wrong)


def test_inputs_with_height_and_width_are_never_guessed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    eeg = np.random.RandomState(0).randn(20, 2, 8, 12).astype(np.float32)
    np.savez(tmp_path / "eeg.npz", X=eeg, y=np.arange(20) % 2)
    both = ["train", *(f"--{side}={tmp_path / 'eeg.npz'}" for side in ("source", "target"))]
    assert main([*both, "--out", str(tmp_path / "run")]) == 2
    assert "--augment photo or none must say what the inputs of" in capsys.readouterr().err
    module = nn.Sequential(nn.Flatten(), nn.Linear(192, 6))
    arguments = {"model": module, "steps": 4, "batch_size": 8, "is_shown": False}
    with pytest.raises(ValueError, match="augment must say what inputs with a height and a width are"):
        dmsrl_adapt.train((eeg, np.arange(20) % 2), eeg, out=tmp_path / "a", **arguments)
    run = dmsrl_adapt.train((eeg, np.arange(20) % 2), eeg, out=tmp_path / "a", augment="none", **arguments)
    assert not {"augmentation", "consistency"} & run.settings.keys()
    assert "consistency_loss" not in run.curve[-1]["losses"]["total_loss"]
    with pytest.raises(ValueError, match=r"trained with a module of yours; give a new one"):
        Model.load(run.folder / "model.pt")
    new = nn.Sequential(nn.Flatten(), nn.Linear(192, 6))
    assert Model.load(run.folder / "model.pt", new).predict(eeg)["label"] == run.model.predict(eeg)["label"]


def test_a_function_augments_the_inputs_of_both_domains(photos: Path, tmp_path: Path) -> None:
    seen = []

    def darker(image: torch.Tensor) -> torch.Tensor:
        seen.append((image.dtype, tuple(image.shape)))
        return image // 2

    arguments = {"model": "test_resnet", "weights": "random", "size": (24, 32), "steps": 2, "batch_size": 8}
    dmsrl_adapt.train(
        photos / "lab", photos / "field", out=tmp_path / "a", augment=darker, workers=0, is_shown=False, **arguments
    )
    assert set(seen) == {(torch.uint8, (3, 24, 32))}
    with pytest.raises(ValueError, match=r"augment must return torch\.uint8 of"):
        dmsrl_adapt.train(
            photos / "lab",
            photos / "field",
            out=tmp_path / "b",
            augment=torch.Tensor.float,
            workers=0,
            is_shown=False,
            **arguments,
        )


def test_loss_and_class_weights_of_the_source_are_used(tmp_path: Path) -> None:
    def first(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return logits[:, 0].square() + 7

    own = train_vectors(tmp_path / "own", loss_fn=first, recipe="source_only")
    assert own.curve[-1]["losses"]["total_loss"]["src_c_loss"] >= 7
    even, weighted = (
        train_vectors(tmp_path / str(weights), class_weights=weights, recipe="source_only", steps=1)
        for weights in ((1.0, 1.0, 1.0), (100.0, 1.0, 1.0))
    )
    assert even.curve[0]["losses"] != weighted.curve[0]["losses"]


def test_early_stopping_takes_the_networks_of_the_best_score(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scores = iter([1.0, 3.0, 2.0, 2.5, 9.0])
    monkeypatch.setattr(
        dmsrl_adapt.trainer.training_run, "label_free_scores", lambda seen: {"IMValidator": next(scores)}
    )
    run = train_vectors(tmp_path / "run", early_stopping=2, steps=50, scorings=5)
    assert [point["step"] for point in run.curve] == [10, 20, 30, 40]
    best = torch.load(tmp_path / "run" / "checkpoints" / "best.pt", weights_only=True)
    assert torch.equal(best["C"]["weight"], run.model.C.weight)


def test_weights_of_a_file_are_the_start_and_other_files_one_error(photos: Path, tmp_path: Path) -> None:
    import timm

    net = timm.create_model("test_resnet")
    torch.save(net.state_dict(), tmp_path / "weights.pt")
    network = dmsrl_adapt.trainer.networks.by_name("test_resnet", (24, 24), tmp_path / "weights.pt")
    assert torch.equal(network.pretrained.conv1[0].weight, net.conv1[0].weight)
    for wrong, told in (
        ("nowhere.pt", "weights must be a file or 'random'"),
        (__file__, "weights of test_resnet cannot"),
    ):
        with pytest.raises((ValueError, OSError), match=told):
            dmsrl_adapt.trainer.networks.by_name("test_resnet", None, wrong)
    with pytest.raises(ValueError, match="model must be a module, 'frozen' or a name of timm"):
        dmsrl_adapt.trainer.networks.by_name("no such", None)


def test_a_source_without_labels_and_a_single_sample_are_refused(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="field must have labels"):
        dmsrl_adapt.train(photos / "field", photos / "lab", out=tmp_path / "a")
    with pytest.raises(DataError, match="must hold at least 2 samples, got 1"):
        dmsrl_adapt.train(vectors(), vectors()[0][:1], out=tmp_path / "b")
    assert not list(tmp_path.iterdir())


def test_trials_take_the_settings_of_the_best_score(tmp_path: Path) -> None:
    run = train_vectors(tmp_path / "run", trials=3, steps=16)
    scores = {}
    for number in range(3):
        facts = json.loads((tmp_path / "run-trials" / str(number) / "run.json").read_text())
        assert facts["settings"]["steps"] == 4
        scores[facts["curve"][-1]["selector"]] = facts["settings"]
    best = scores[max(scores)]
    assert len(scores) == 3 and run.settings["steps"] == 16
    assert (run.settings["lr"], run.settings["recipe"]) == (best["lr"], best["recipe"])

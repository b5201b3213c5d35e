"""The report of a run: one file with all pictures inside, and the command that repeats the run."""

import re
from pathlib import Path

import numpy as np
import torch

from dmsrl_adapt.cli import main, parser
from dmsrl_adapt.data import open_data
from dmsrl_adapt.trainer import Predictions
from dmsrl_adapt.trainer.page import inlined
from dmsrl_adapt.trainer.report import write_report
from dmsrl_adapt.trainer.run_folder import RunFolder
from dmsrl_adapt.trainer.settings import Settings


def test_a_run_has_a_report_that_repeats_it(photos: Path, trained: Path) -> None:
    page = (trained / "report.html").read_text()
    assert page.count("data:image/png;base64,") == 4  # curves, embedding, classes, contact sheet
    assert "Estimated accuracy without labels of the target" in page and "set" in page
    (command,) = re.findall(r"To repeat this run: dmsrl-adapt ([^<]*)", page)
    options = vars(parser().parse_args(command.split()))
    assert options["source"] == str((photos / "lab").resolve()) and options["size"] == (24, 24)
    assert (options["steps"], options["lr"], options["batch_size"]) == (60, 0.003, 16)


def test_with_labels_it_has_accuracy_and_confusion_without_curves_nothing_fails(tmp_path: Path) -> None:
    samples = open_data((np.eye(6, 4, dtype=np.float32), np.arange(6) % 3))
    found = Predictions(samples, ("a$", "b", "c"))
    found.add(torch.arange(6), torch.arange(6) % 3, torch.full((6, 3), 1 / 3))
    features = {moment: {key: torch.randn(4, 5) for key in ("src", "target")} for moment in ("before", "after")}
    facts = {"accuracy": 1.0, "estimate": 1 / 3, "calibration": "", "peak_memory": None, "seconds": 1.0}
    folder = RunFolder(tmp_path)
    path = write_report(folder, Settings("x", "y"), [], found, torch.arange(6) % 3, features, facts)
    page = path.read_text()
    assert "Accuracy on 6 labelled samples of the target: 100.0 %" in page
    assert inlined(tmp_path / "pictures" / "confusion.png") in page and page.count("data:image/png") == 2


def test_options_of_the_command_are_those_of_the_call() -> None:
    assert main.__module__ == "dmsrl_adapt.cli"
    usual = vars(parser().parse_args(["train", "--source", "x", "--target", "y"]))
    for name, value in Settings("x", "y").as_dict().items():
        assert name in usual, name
        if name != "steps":
            assert usual[name] == value, name

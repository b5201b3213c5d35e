"""`train`: trains one method on your own data, and writes a model file."""

import argparse
import math
import sys
from dataclasses import replace
from pathlib import Path

import torch
from tqdm import tqdm

from ..grid import task_of
from ..methods import get_method
from ..model_file import check_free, write_model
from ..tables import as_text
from ..tasks import DataPlace, Split, Task
from ..training import Outcome, Plan, train
from .options import add_network, add_own_data, own_task, plan_network, positive

HELP = "train on your own images and write a model file for `predict`"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds data, network, method and output file."""
    add_own_data(parser, "your data: folders with images")
    add_network(parser)
    parser.add_argument("--method", default="dmsrl", help="method name; `list` shows them (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=400, help="training steps (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=Path("model.pt"), help="output model file (default: %(default)s)")


def do(options: argparse.Namespace) -> int:
    """Trains, prints the scores, and writes the model."""
    plan = Plan(steps=positive(options.steps, "--steps"), network=plan_network(options))
    method, own = get_method(options.method), own_task(options)
    check_free(options.out, own.name)
    task = with_whole_target(task_of(own, DataPlace()))
    parts = f"{len(task.source)} of the source and {len(task.target_train)} of the target"
    print(f"training {method.name} on {parts}, {len(task.classes)} classes: {', '.join(task.classes)}", file=sys.stderr)
    with tqdm(total=plan.steps, desc="training", unit=" steps") as bar:
        outcome = train(task, method, options.seed, plan, on_step=lambda step: bar.update())
    print(as_text(scores(outcome)))
    if task.target_test.labels is not None:
        print(f"accuracy: measured on {len(task.target_test)} target samples that were not used for training")
    highest = f"{math.log(len(task.classes)):.2f}"
    print(f"label-free score: information maximisation, needs no labels; higher is better, at most {highest}")
    write_model(options.out, outcome, task, own, method, options.seed, plan)
    print(
        f"\nwrote the model to {options.out}; classify images with: python -m benchmarks predict {options.out} FOLDER"
    )
    return 0


def with_whole_target(task: Task) -> Task:
    """Returns the task; without labels to score with, the whole target is used for training."""
    if task.target_test.labels is not None:
        return task
    parts = (task.target_train, task.target_validation, task.target_test)
    return replace(task, target_train=Split(torch.cat([part.inputs for part in parts]), None))


def scores(outcome: Outcome) -> list[list[str]]:
    """Returns a table with one row per scoring; accuracies, in %, need target labels."""
    named = {"accuracy": "accuracy, %", "balanced_accuracy": "balanced, %"}
    there = [key for key in named if outcome.curve[-1][key] is not None]
    rows = [["step", *(named[key] for key in there), "label-free score"]]
    for point in outcome.curve:
        label_free = "diverged" if point["selector"] is None else f"{point['selector']:.3f}"
        rows.append([str(point["step"]), *(f"{100 * point[key]:.1f}" for key in there), label_free])
    return rows

"""`train`: adapts a model from a labelled source to a target."""

import argparse
import sys
from pathlib import Path
from typing import Any

HELP = "adapt a model from labelled data (source) to unlabelled data (target)"
AUGMENTS = ("photo", "none")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `dmsrl_adapt.train`."""
    parser.add_argument("--source", required=True, help="labelled: a folder of class folders, a table, or .npz")
    parser.add_argument("--target", required=True, help="a folder of images, or as for --source; labels only score")
    parser.add_argument("--target-test", help="more of the target, to label and score at the end")
    parser.add_argument("--model", default="resnet18", help="a timm model, or frozen (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=Path("runs/adapted"), help="folder (default: %(default)s)")
    recipe = "default, published or source_only (default: %(default)s)"
    parser.add_argument("--recipe", default="default", help=recipe)
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--steps", type=int, help="training steps (default: 400)")
    length.add_argument("--epochs", type=float, help="passes over the larger of the two data sets")
    parser.add_argument("--batch-size", type=int, default=64, help="of each domain (default: %(default)s)")
    parser.add_argument("--size", type=size, help="pixels, as in 96 or 96x128 (default: that of the model)")
    parser.add_argument("--augment", choices=AUGMENTS, help="photo: images may be turned and recoloured; none: not")
    parser.add_argument("--weights", help="file of weights, or random (default: timm's download)")
    parser.add_argument("--resume", action="store_true", help="continue the run in --out")
    parser.add_argument("--trials", type=int, default=0, help="short runs of other settings to choose from first")
    add_optimizer(parser)
    add_machine(parser)


def add_optimizer(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the optimizer."""
    group = parser.add_argument_group("optimizer")
    group.add_argument("--optimizer", help="of timm (default: adamw for a pretrained network, else adam)")
    group.add_argument("--lr", type=float, help="learning rate of new layers (default: 0.001; 0.01 for sgd)")
    group.add_argument("--weight-decay", type=float, help="(default: 0.05 for adamw, else 0.0005)")
    group.add_argument("--clip", type=float, help="largest norm of the gradients")
    group.add_argument("--accumulate", type=int, default=1, help="batches of an optimizer step")
    group.add_argument("--early-stopping", type=int, metavar="N", help="stop after N scorings that were no better")
    group.add_argument("--scorings", type=int, default=8, help="scorings and checkpoints (default: %(default)s)")
    weights = "of the source's loss, by class in the order of their names, as in 1,2.5,1"
    group.add_argument("--class-weights", type=numbers, help=weights)
    group.add_argument("--seed", type=int, default=0)


def add_machine(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the machine."""
    group = parser.add_argument_group("machine")
    group.add_argument("--devices", type=int, default=1, help="processes with a device each (default: %(default)s)")
    group.add_argument("--precision", default="32-true", help="32-true, bf16-mixed, 16-mixed (default: %(default)s)")
    group.add_argument("--workers", type=int, help="processes that read images (default: one for each core but one)")
    group.add_argument("--loggers", type=names, default=("csv",), help="csv, tensorboard (default: csv)")


def do(options: argparse.Namespace) -> int:
    """Trains."""
    from ..trainer import train

    given = {key: value for key, value in vars(options).items() if key not in ("command", "do")}
    if given["augment"] is None:
        given["augment"] = asked_augment(given["source"])
    train(**given)
    return 0


def asked_augment(source: Any) -> str | None:
    """Returns what the user says of inputs that have a height and a width and are no images; None for others.

    Raises:
        ValueError: nobody can be asked.
    """
    from ..data import open_data

    if open_data(source).kind != "tensor":
        return None
    if not sys.stdin.isatty():
        raise ValueError(f"--augment photo or none must say what the inputs of {source} are")
    answer = input(f"Are the inputs of {source} photographs or drawings, which may be turned and recoloured? [y/n] ")
    return "photo" if answer.strip().lower().startswith("y") else "none"


def size(text: str) -> int | tuple[int, int]:
    """Returns pixels, or height and width."""
    height, _, width = text.partition("x")
    return (int(height), int(width)) if width else int(height)


def numbers(text: str) -> list[float]:
    """Returns numbers, separated by commas."""
    return [float(one) for one in text.split(",")]


def names(text: str) -> tuple[str, ...]:
    """Returns names, separated by commas."""
    return tuple(text.split(","))

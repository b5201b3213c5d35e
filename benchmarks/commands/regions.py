"""`regions`: a figure of the image regions that drive the predictions."""

import argparse
from pathlib import Path

from ..methods import split_names
from ..regions import write_regions
from ..tasks import load_task
from ..training import Plan
from .options import add_data_dir, data_place, positive

HELP = "draw the image regions that drive the predictions, before and after adaptation"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds task, methods, network and output file."""
    parser.add_argument("task", help="task name; `list` shows them")
    parser.add_argument(
        "--methods", default="source_only,dmsrl", help="two methods, before and after adaptation (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=400, help="training steps (default: %(default)s)")
    parser.add_argument("--network", default="small", help='"small", "pooled", or the name of a timm model')
    add_data_dir(parser)
    parser.add_argument("--out", type=Path, default=Path("regions.png"), help="output figure (default: %(default)s)")


def do(options: argparse.Namespace) -> int:
    """Trains two methods and draws their regions."""
    before, after, *more = [*split_names(options.methods), ""]
    if not after or any(more):
        raise ValueError(f"--methods must be two, before and after, got {options.methods!r}")
    plan = Plan(steps=positive(options.steps, "--steps"), scorings=1, network=options.network)
    print(write_regions(load_task(options.task, data_place(options)), (before, after), options.seed, plan, options.out))
    return 0

"""`confidence`: how far the confidence of predictions counts and ranks."""

import argparse
from pathlib import Path

from ..confidence import rows, write_confidence
from ..tables import as_text
from .options import add_data_dir, data_place, known_tasks, positive

HELP = "measure calibration and ranking of the confidence that predictions have"
TASKS = "embedded,pacs-art_painting-cartoon,pacs-cartoon-art_painting,mnist-usps,usps-mnist"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds tasks, length and output folder."""
    parser.add_argument("--tasks", default=TASKS, help="task names, separated by commas (default: the tuning tasks)")
    parser.add_argument("--seed", type=int, default=10)
    parser.add_argument("--steps", type=int, default=400, help="training steps (default: %(default)s)")
    add_data_dir(parser)
    folder = Path("benchmarks/results/measured")
    parser.add_argument("--out", type=Path, default=folder, help="folder (default: %(default)s)")


def do(options: argparse.Namespace) -> int:
    """Measures, and prints the table."""
    steps = positive(options.steps, "--steps")
    names, place = known_tasks(options.tasks), data_place(options)
    print(as_text(rows(write_confidence(options.out, names, place, options.seed, steps))))
    return 0

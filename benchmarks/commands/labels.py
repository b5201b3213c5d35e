"""`labels`: how many pseudo labels are right."""

import argparse
from pathlib import Path

from ..labels import TASKS, rows, write_labels
from ..results import as_text
from .options import add_data_dir, data_place, known_tasks, positive

HELP = "how many pseudo labels are right, on the tasks for choosing settings"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the tasks."""
    names = ",".join(TASKS)
    parser.add_argument("--tasks", default=names, help="names, separated by commas (default: %(default)s)")
    parser.add_argument("--seeds", default="0,1,2", help="numbers, separated by commas (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=400, help="training steps of a run (default: %(default)s)")
    add_data_dir(parser)
    parser.add_argument("--out", type=Path, default=Path("benchmark_results"), help="folder (default: %(default)s)")


def do(options: argparse.Namespace) -> int:
    """Counts right pseudo labels, prints the table so far after every run, and writes them."""
    names, seeds = known_tasks(options.tasks), [int(seed) for seed in options.seeds.split(",")]
    for runs in write_labels(options.out, data_place(options), names, seeds, positive(options.steps, "--steps")):
        print(f"{as_text(rows(runs))}\n", flush=True)
    return 0

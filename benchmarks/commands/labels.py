"""`labels`: how many pseudo labels are right."""

import argparse
from pathlib import Path

from ..labels import rows, write_labels
from ..tables import as_text
from ..tasks import TUNING
from .options import add_data_dir, add_length, data_place, known_tasks, positive, seeds_of

HELP = "how many pseudo labels are right, on the tasks for choosing settings"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the tasks."""
    names = ",".join(TUNING)
    parser.add_argument("--tasks", default=names, help="names, separated by commas (default: %(default)s)")
    add_length(parser, seeds="0,1,2")
    add_data_dir(parser)
    parser.add_argument("--out", type=Path, default=Path("benchmark_results"), help="folder (default: %(default)s)")


def do(options: argparse.Namespace) -> int:
    """Counts right pseudo labels, prints the table so far after every run, and writes them."""
    names, seeds = known_tasks(options.tasks), seeds_of(options)
    for runs in write_labels(options.out, data_place(options), names, seeds, positive(options.steps, "--steps")):
        print(f"{as_text(rows(runs))}\n", flush=True)
    return 0

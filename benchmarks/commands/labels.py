"""`labels`: accuracy of pseudo labels."""

import argparse
from pathlib import Path

from ..labels import rows, write_labels
from ..tables import as_text
from ..tasks import TUNING
from .options import add_data_dir, add_length, data_place, known_tasks, positive, seeds_of

HELP = "measure the accuracy of pseudo labels on the tuning tasks"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds tasks, seeds and output folder."""
    names = ",".join(TUNING)
    parser.add_argument("--tasks", default=names, help="names, separated by commas (default: %(default)s)")
    add_length(parser, seeds="0,1,2")
    add_data_dir(parser)
    parser.add_argument(
        "--out", type=Path, default=Path("benchmark_results"), help="output folder (default: %(default)s)"
    )


def do(options: argparse.Namespace) -> int:
    """Measures pseudo labels, and prints and writes the results so far after each run."""
    names, seeds = known_tasks(options.tasks), seeds_of(options)
    for runs in write_labels(options.out, data_place(options), names, seeds, positive(options.steps, "--steps")):
        print(f"{as_text(rows(runs))}\n", flush=True)
    return 0

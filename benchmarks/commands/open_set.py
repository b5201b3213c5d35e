"""`open_set`: classes that only the target has."""

import argparse
from pathlib import Path

from ..methods import split_names
from ..open_set import METHODS, write_open_set
from ..tables import as_text
from ..tasks import digits
from .options import add_data_dir, add_length, data_place, positive, seeds_of

HELP = "measure rejection of unknown classes: digits, with 7, 8 and 9 missing from the source"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds task, methods, seeds and output folder."""
    parser.add_argument("--task", choices=digits.NAMES, default="mnist-usps", help="(default: %(default)s)")
    parser.add_argument("--methods", default=METHODS, help="names, separated by commas (default: %(default)s)")
    add_length(parser, seeds="0,1")
    add_data_dir(parser)
    parser.add_argument(
        "--out", type=Path, default=Path("benchmark_results"), help="output folder (default: %(default)s)"
    )


def do(options: argparse.Namespace) -> int:
    """Trains, prints the table and writes it."""
    names, seeds = split_names(options.methods), seeds_of(options)
    steps = positive(options.steps, "--steps")
    print(as_text(write_open_set(options.out, options.task, data_place(options), names, seeds, steps)))
    return 0

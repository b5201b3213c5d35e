"""`collect`: result files become rows of the table of runs."""

import argparse
from pathlib import Path

from ..runs import TABLE, collect

HELP = "put folders of results into the table of runs"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the folders and where they go."""
    parser.add_argument("folders", type=Path, nargs="+", metavar="folder")
    parser.add_argument("--study", help="study to which the runs belong (default: the name of the first folder)")
    parser.add_argument("--table", type=Path, default=TABLE, help="of runs (default: %(default)s)")


def do(options: argparse.Namespace) -> int:
    """Writes the rows and says how many there were."""
    study = options.study or options.folders[0].resolve().name
    count = collect(options.folders, study, options.table)
    print(f"{count} runs of {study} are in {options.table}")
    return 0

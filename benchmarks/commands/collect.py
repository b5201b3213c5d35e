"""`collect`: adds result files to the table of runs."""

import argparse
from pathlib import Path

from ..runs import TABLE, collect

HELP = "add folders of results to the table of runs"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the folders, the study and the table."""
    parser.add_argument("folders", type=Path, nargs="+", metavar="folder")
    parser.add_argument("--study", help="study to which the runs belong (default: the name of the first folder)")
    parser.add_argument("--table", type=Path, default=TABLE, help="table of runs (default: %(default)s)")


def do(options: argparse.Namespace) -> int:
    """Writes the rows and prints their number."""
    study = options.study or options.folders[0].resolve().name
    count = collect(options.folders, study, options.table)
    print(f"{count} runs of {study} written to {options.table}")
    return 0

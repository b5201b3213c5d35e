"""`data check`: which data of a task is present, and which is missing."""

import argparse

from ..data_check import check
from .options import add_data_dir, data_place

HELP = "check which data sets of a task are present, and count their samples"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the tasks."""
    parser.add_argument("what", choices=("check",))
    parser.add_argument("task", help="names, separated by commas; `list` shows them")
    add_data_dir(parser)


def do(options: argparse.Namespace) -> int:
    """Prints the state of the data; the exit status is 0 if all of it is present."""
    place = data_place(options)
    complete = [check(name, place) for name in options.task.split(",")]
    return 0 if all(complete) else 1

"""`data check`: what tasks need, have and lack."""

import argparse

from ..data_check import check
from .options import add_data_dir, data_place

HELP = "say which data sets of a task are there, and what each of them holds"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the tasks."""
    parser.add_argument("what", choices=("check",))
    parser.add_argument("task", help="names, separated by commas; `list` shows them")
    add_data_dir(parser)


def do(options: argparse.Namespace) -> int:
    """Prints what is there; the exit status tells whether that is all."""
    place = data_place(options)
    complete = [check(name, place) for name in options.task.split(",")]
    return 0 if all(complete) else 1

"""`studies`: the studies that README and docs quote, and their progress."""

import argparse
from pathlib import Path

from ..runs import TABLE
from ..studies import Study, read_study, state, study_names
from ..tables import as_text

HELP = "list the studies that README and docs quote, with finished runs, stale runs and training time"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the table of runs."""
    parser.add_argument("--table", type=Path, default=TABLE, help="table of runs (default: %(default)s)")


def do(options: argparse.Namespace) -> int:
    """Prints one row per study."""
    head = ["study", "finished", "stale", "training time", "title"]
    print(as_text([head, *(row(read_study(name), options.table) for name in study_names())]))
    return 0


def row(study: Study, table: Path) -> list[str]:
    """Returns the row of a study."""
    found = state(study, table)
    there = f"{found.total - len(found.missing)} of {found.total}"
    hours = "-" if found.hours is None else f"{found.hours:.1f} h"
    return [study.name, there, str(len(found.stale) or "-"), hours, study.title]

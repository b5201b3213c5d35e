"""`studies`: what README and docs quote, and how much of it is there."""

import argparse
from pathlib import Path

from ..runs import TABLE
from ..studies import Study, read_study, state, study_names
from ..tables import as_text

HELP = "list the studies that README and docs quote: how much is there, what is stale, and the time it took"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the table."""
    parser.add_argument("--table", type=Path, default=TABLE, help="of runs (default: %(default)s)")


def do(options: argparse.Namespace) -> int:
    """Prints a row a study."""
    head = ["study", "there", "stale", "training time", "what"]
    print(as_text([head, *(row(read_study(name), options.table) for name in study_names())]))
    return 0


def row(study: Study, table: Path) -> list[str]:
    """Returns what the list says of a study."""
    found = state(study, table)
    there = f"{found.total - len(found.missing)} of {found.total}"
    hours = "-" if found.hours is None else f"{found.hours:.1f} h"
    return [study.name, there, str(len(found.stale) or "-"), hours, study.title]

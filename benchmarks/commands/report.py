"""`report`: tables and figures of folders of results."""

import argparse
from pathlib import Path

from ..report import write_report

HELP = "write a report with tables and figures on folders of results, or on a table of runs"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds sources, studies and output folder."""
    parser.add_argument("sources", type=Path, nargs="+", metavar="source", help="folder of results, or a .csv table")
    parser.add_argument("--studies", default="", help="studies of a table, separated by commas (default: all)")
    parser.add_argument("--out", type=Path, help="output folder (default: the folder of results, if there is only one)")


def do(options: argparse.Namespace) -> int:
    """Writes the report and prints its paths."""
    path = write_report(*options.sources, out=options.out, studies=[one for one in options.studies.split(",") if one])
    print(f"{path.with_suffix('.html')}\n{path}")
    return 0

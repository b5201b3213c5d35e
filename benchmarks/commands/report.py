"""`report`: tables and pictures of folders of results."""

import argparse
from pathlib import Path

from ..report import write_report

HELP = "tables and pictures of folders of results, or of a table of runs"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the folders and tables."""
    parser.add_argument("sources", type=Path, nargs="+", metavar="source", help="folder of results, or a .csv table")
    parser.add_argument("--studies", default="", help="of a table, separated by commas (default: all)")
    parser.add_argument("--out", type=Path, help="where the report goes (default: the folder, where it is one)")


def do(options: argparse.Namespace) -> int:
    """Writes the report and says where."""
    path = write_report(*options.sources, out=options.out, studies=[one for one in options.studies.split(",") if one])
    print(f"{path.with_suffix('.html')}\n{path}")
    return 0

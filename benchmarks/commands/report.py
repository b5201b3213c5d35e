"""`report`: tables and pictures of folders of results."""

import argparse
from pathlib import Path

from ..report import write_report

HELP = "tables and pictures of a folder of results, or of several together"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the folders."""
    parser.add_argument("folders", type=Path, nargs="+", metavar="folder")
    parser.add_argument("--out", type=Path, help="where the report goes (default: the folder, where it is one)")


def do(options: argparse.Namespace) -> int:
    """Writes the report and says where."""
    path = write_report(*options.folders, out=options.out)
    print(f"{path.with_suffix('.html')}\n{path}")
    return 0

"""`report`: tables and pictures of a folder of results."""

import argparse
from pathlib import Path

from ..report import write_report

HELP = "table and pictures of a folder of results"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the folder."""
    parser.add_argument("folder", type=Path)


def do(options: argparse.Namespace) -> int:
    """Writes the report and says where."""
    path = write_report(options.folder)
    print(f"{path.with_suffix('.html')}\n{path}")
    return 0

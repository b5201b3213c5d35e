"""`sensitivity`: how much the default recipe depends on its numbers."""

import argparse
from pathlib import Path

from ..results import as_text
from ..sensitivity import write_sensitivity

HELP = "table and picture of results of `run --methods sensitivity`"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the folder."""
    parser.add_argument("folder", type=Path)


def do(options: argparse.Namespace) -> int:
    """Draws the picture and prints the table."""
    print(as_text(write_sensitivity(options.folder)))
    return 0

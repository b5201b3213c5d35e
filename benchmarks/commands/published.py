"""`published`: published results of other authors."""

import argparse

from ..published import published
from ..tables import as_text

HELP = "show published results of other authors"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds no options."""


def do(options: argparse.Namespace) -> int:
    """Prints the tables with source, protocol and caveat."""
    for one in published():
        print(f"{one.text}\n{as_text(one.rows({}))}\n")
    return 0

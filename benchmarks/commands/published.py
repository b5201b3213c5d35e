"""`published`: results of others."""

import argparse

from ..published import published
from ..tables import as_text

HELP = "show results that others have published"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds nothing."""


def do(options: argparse.Namespace) -> int:
    """Prints the tables with source, protocol and caveat."""
    for one in published():
        print(f"{one.text}\n{as_text(one.rows({}))}\n")
    return 0

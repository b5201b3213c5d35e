"""`list`: the names of tasks and methods."""

import argparse

from ..methods import methods
from ..tasks import families

HELP = "list tasks and methods"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds no options."""


def do(options: argparse.Namespace) -> int:
    """Prints the names of tasks and methods."""
    for family in families():
        print(f"{(family.__doc__ or '').splitlines()[0]}\n  {', '.join(family.NAMES)}\n  licence: {family.LICENCE}\n")
    print(f"Methods: {', '.join(methods())}")
    return 0

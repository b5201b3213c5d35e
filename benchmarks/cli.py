"""The command line: every module of `commands` with a function `do` is a command."""

import argparse
import sys
from importlib import import_module
from pkgutil import iter_modules

from . import commands
from .tasks import DataError

NAMES = [found.name for found in iter_modules(commands.__path__)]
MODULES = {name: import_module(f"{commands.__name__}.{name}") for name in NAMES}


def parser() -> argparse.ArgumentParser:
    """Returns the argument parser."""
    cli = argparse.ArgumentParser(prog="python -m benchmarks", description="Compare DMSRL with other methods.")
    named = cli.add_subparsers(dest="command", required=True)
    for name, module in MODULES.items():
        if hasattr(module, "do"):
            command = named.add_parser(name, help=module.HELP)
            module.add_options(command)
            command.set_defaults(do=module.do)
    return cli


def main(arguments: list[str] | None = None) -> int:
    """Runs a command; returns the exit status."""
    options = parser().parse_args(arguments)
    try:
        status: int = options.do(options)
    except (DataError, ValueError, OSError, ImportError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return status

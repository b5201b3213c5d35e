"""The command line `dmsrl-adapt`: every module of `commands` is a command."""

import argparse
import sys
import warnings
from collections.abc import Sequence
from importlib import import_module

from .version import __version__

NAMES = ("train", "predict", "export", "env")
INTERRUPTED = 130  # exit status of a shell after Ctrl-C


def parser() -> argparse.ArgumentParser:
    """Returns the argument parser."""
    about = "Adapt a model from labelled to unlabelled data, and use it."
    cli = argparse.ArgumentParser(prog="dmsrl-adapt", description=about)
    cli.add_argument("--version", action="version", version=__version__)
    named = cli.add_subparsers(dest="command", required=True)
    for name in NAMES:
        module = import_module(f".commands.{name}", __package__)
        command = named.add_parser(name, help=module.HELP, description=module.HELP)
        module.add_options(command)
        command.set_defaults(do=module.do)
    return cli


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command; returns the exit status, 2 for an error of the user's."""
    # torchmetrics 0.9.3, which pytorch-adapt pins, raises this warning on import
    warnings.filterwarnings("ignore", message="pkg_resources is deprecated")
    options = parser().parse_args(arguments)
    try:
        status: int = options.do(options)
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        print(
            f"error: {package} is missing; install what this needs: pip install 'dmsrl-adapt[train]'", file=sys.stderr
        )
        return 2
    except (ValueError, TypeError, OSError, ImportError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return INTERRUPTED
    return status

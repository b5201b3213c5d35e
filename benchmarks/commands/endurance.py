"""`endurance`: one long training run."""

import argparse
from pathlib import Path

from ..endurance import PRECISIONS, write_endurance
from .options import positive

HELP = "measure memory, time and accuracy of one long run on the embedded task"
SHOWN = ("accuracy", "losses_are_finite", "memory_growth", "seconds_per_step", "threads_and_handles")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds length, precision, seed and output folder."""
    parser.add_argument("--steps", type=int, default=20000, help="training steps (default: %(default)s)")
    parser.add_argument("--precision", choices=PRECISIONS, default="float32", help="(default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="(default: %(default)s)")
    parser.add_argument(
        "--out", type=Path, default=Path("benchmark_results"), help="output folder (default: %(default)s)"
    )


def do(options: argparse.Namespace) -> int:
    """Trains, prints the measurements, and writes them."""
    result = write_endurance(options.out, positive(options.steps, "--steps"), options.precision, options.seed)
    print("\n".join(f"{key}: {result[key]}" for key in SHOWN))
    return 0

"""`speed`: time ratios."""

import argparse
from pathlib import Path

from ..speed import BASELINES, write_speed
from ..speed import rows as speed_rows
from ..speed_labeler import crossover_rows, rows, write_labeler_speed
from ..tables import as_text
from .options import positive

HELP = "measure the time of a training step, of the backbone, or of labelling the target"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the subject of the measurement, and its sizes."""
    what = (
        "step: a training step relative to DANN's; parts: the default recipe, also without each part; backbone: "
        "MultiLevelBackbone relative to the bare network; labeler: pseudo labels by prototypes, for several sizes of "
        "the target (default: %(default)s)"
    )
    parser.add_argument("what", nargs="?", choices=(*BASELINES, "labeler"), default="step", help=what)
    parser.add_argument(
        "--network", default="resnet18", help="name of a timm model, small, or vectors (default: %(default)s)"
    )
    parser.add_argument(
        "--size", type=int, default=64, help="side of the images in pixels, or length of vectors (default: %(default)s)"
    )
    parser.add_argument("--batch-size", type=int, default=32, help="images per domain and step (default: %(default)s)")
    parser.add_argument("--rounds", type=int, help="timed steps per method, or passes for labeler (default: 20, 3)")
    parser.add_argument(
        "--out", type=Path, default=Path("benchmark_results"), help="output folder (default: %(default)s)"
    )


def do(options: argparse.Namespace) -> int:
    """Measures times, and prints and writes them."""
    if options.what == "labeler":
        result = write_labeler_speed(options.out, positive(options.rounds or 3, "--rounds"))
        print(as_text(rows(result)))
        print(as_text(crossover_rows(result["crossover"])))
        return 0
    options.rounds = 20 if options.rounds is None else options.rounds
    sizes = {name: positive(getattr(options, name), f"--{name}") for name in ("size", "batch_size", "rounds")}
    print(as_text(speed_rows(write_speed(options.out, options.what, options.network, **sizes))))
    return 0

"""`export`: writes a model for other programs."""

import argparse
from pathlib import Path

HELP = "write a model file of `train` for other programs: ONNX or torch.export"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds model, format and output file."""
    parser.add_argument("model", type=Path, help="model.pt in the folder of a run")
    parser.add_argument("--format", choices=("onnx", "torch"), default="onnx", help="(default: %(default)s)")
    parser.add_argument("--out", type=Path, help="file (default: beside the model, .onnx or .pt2)")


def do(options: argparse.Namespace) -> int:
    """Exports, and prints how far the outputs differ."""
    from ..trainer import Model
    from ..trainer.export import SUFFIXES, export

    out = options.out or options.model.with_suffix(SUFFIXES[options.format])
    difference = export(Model.load(options.model), out, options.format)
    print(f"{out}\nits probabilities differ from the model's by at most {difference:.1e} on images of the target")
    return 0

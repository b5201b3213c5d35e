"""`predict`: labels data by a trained model."""

import argparse
import sys
from pathlib import Path

HELP = "label data by a model file of `train`: writes a table, and the most and least certain images"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds model, data and output file."""
    parser.add_argument("model", type=Path, help="model.pt in the folder of a run")
    parser.add_argument("data", help="a folder of images, subfolders included, a table, or .npz")
    parser.add_argument("--out", type=Path, default=Path("labels.csv"), help=".csv or .parquet (default: %(default)s)")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--workers", type=int, help="processes that read images (default: one for each core but one)")
    parser.add_argument("--device", default="cpu", help="such as cuda (default: %(default)s)")


def do(options: argparse.Namespace) -> int:
    """Predicts, writes the table and the contact sheet, and prints how many samples each class has."""
    from ..trainer import Model
    from ..trainer.batches import default_workers
    from ..trainer.predictions import sheet_path

    model = Model.load(options.model).to(options.device)
    workers = default_workers() if options.workers is None else options.workers
    found = model.predict(options.data, options.out, options.batch_size, workers)
    for name, reason in found.left_out[:5]:
        print(f"note: {name} is left out: {reason}", file=sys.stderr)
    if len(found.left_out) > 5:
        print(f"note: {len(found.left_out)} files are left out in all", file=sys.stderr)
    sheet = sheet_path(options.out)
    print("\n".join(str(path) for path in (options.out, sheet) if path.exists()))
    width = max(map(len, found.counts), default=0)
    print("\n".join(f"{label:<{width}}  {count}" for label, count in found.counts.most_common()))
    return 0

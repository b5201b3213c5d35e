"""`predict`: classifies the images in a folder with a model file."""

import argparse
from collections import Counter
from pathlib import Path

from dmsrl_adapt.data import open_data

from ..model_file import read_model
from ..predictions import check_outputs, draw_sheet, predict, sheet_path, write_csv
from ..tables import as_text
from .options import tell_left_out

HELP = "classify a folder of images with a model file of `train`; writes a table, and the most and least certain images"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds model, images and output file."""
    parser.add_argument("model", type=Path, help="file that `train` wrote")
    parser.add_argument("folder", type=Path, help="folder of images; subfolders are included")
    parser.add_argument("--out", type=Path, default=Path("predictions.csv"), help="output table (default: %(default)s)")


def do(options: argparse.Namespace) -> int:
    """Predicts, writes the table and the contact sheet, and prints how many images each class has."""
    model = read_model(options.model)
    check_outputs(options.folder, options.out)
    samples = open_data(options.folder, labelled=False, size=2 * model.size)
    tell_left_out(options.folder, samples.left_out)
    found = predict(model, samples, options.folder)
    print(write_csv(found, options.folder, options.out))
    print(draw_sheet(found, sheet_path(options.out)))
    counts = Counter(one.label for one in found)
    print(as_text([["class", "images"], *([label, str(count)] for label, count in counts.most_common())]))
    return 0

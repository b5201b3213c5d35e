"""Predictions for the images in a folder: a table, and a contact sheet of the most and least certain."""

import csv
from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import torch
from matplotlib.axes import Axes
from PIL import Image

from dmsrl_adapt.data import DataError, Samples
from dmsrl_adapt.data.decode import decode
from dmsrl_adapt.data.files import images_below

from .figures import save
from .model_file import Model
from .tasks.images import stacked

AT_A_TIME = 256  # images in memory at a time
COLUMNS, ROWS = 8, 2  # of each half of the contact sheet
THUMBNAIL = 160  # pixels


@dataclass(frozen=True)
class Prediction:
    """The predicted class of an image and its probability, 0..1."""

    file: Path
    label: str
    confidence: float


def predict(model: Model, samples: Samples, folder: Path) -> list[Prediction]:
    """Returns predictions for all images below a folder, in the order of their names.

    Raises `DataError` if too many cannot be read, and `ValueError` for a model of other inputs.
    """
    found = []
    for rows in torch.arange(len(samples)).split(AT_A_TIME):
        part, images = stacked(samples.take(rows), model.size)
        for name, row in zip(part.names, model.class_probs(images), strict=True):
            found.append(Prediction(folder / name, model.classes[int(row.argmax())], float(row.max())))
    return found


def write_csv(found: list[Prediction], folder: Path, path: Path) -> Path:
    """Writes one row per image with its path below the folder, label and confidence; returns the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "label", "confidence"])
        for one in found:
            writer.writerow([one.file.relative_to(folder).as_posix(), one.label, f"{one.confidence:.4f}"])
    return path


def sheet_path(table: Path) -> Path:
    """Returns where the contact sheet of a table lies: beside it, `labels.png` for `labels.csv`."""
    return table.with_suffix(".png") if table.suffix == ".csv" else table.with_name(f"{table.name}.png")


def check_outputs(folder: Path, table: Path) -> None:
    """Raises `DataError` if the table or the contact sheet would replace an image in the folder."""
    images = {(folder / file).resolve() for file in images_below(folder)[0]}
    for path in (table, sheet_path(table)):
        if path.resolve() in images:
            raise DataError(f"{path} is one of the images to be labelled and would be written over; name another --out")


def extremes(found: list[Prediction]) -> tuple[list[Prediction], list[Prediction]]:
    """Returns the most and the least certain predictions, most extreme first, each at most half of all."""
    ordered = sorted(found, key=lambda one: one.confidence)
    count = min(ROWS * COLUMNS, max(len(found) // 2, 1))
    return ordered[::-1][:count], ordered[:count]


def draw_sheet(found: list[Prediction], path: Path) -> Path:
    """Draws the most certain above the least certain images, with label and confidence; returns the path."""
    figure = plt.figure(figsize=(1.45 * COLUMNS, 1.75 * 2 * ROWS + 0.8))
    titles = ("most certain", "least certain")
    halves = figure.subfigures(2, 1, squeeze=False).flat
    for half, title, chosen in zip(halves, titles, extremes(found), strict=True):
        half.suptitle(title, fontsize=12)
        axes = half.subplots(ROWS, COLUMNS).flatten()
        for one in axes:
            one.axis("off")
        for one, prediction in zip(axes, chosen, strict=False):
            draw(one, prediction)
        half.subplots_adjust(left=0.01, right=0.99, bottom=0.02, top=0.8, hspace=0.45, wspace=0.08)
    path.parent.mkdir(parents=True, exist_ok=True)
    return save(figure, path)


def draw(axes: Axes, prediction: Prediction) -> None:
    """Draws an image with its label and confidence as title."""
    image = Image.fromarray(decode(prediction.file, str(prediction.file)).pixels)
    image.thumbnail((THUMBNAIL, THUMBNAIL))
    axes.imshow(image)
    # a class name may contain a dollar sign
    title = f"{prediction.label[:20]}\n{100 * prediction.confidence:.0f} %"
    axes.set_title(title, fontsize=8, parse_math=False)

"""AffectNet, manually labelled: faces from the web, one label each."""

import csv
from pathlib import Path

import numpy as np

from dmsrl_adapt.data import DataError

from .database import Database, Face, all_there, existing, expression_of, some

NAMES = ("neutral", "happiness", "sadness", "surprise", "fear", "disgust", "anger", None, None, None, None)
CODES = {str(number): name for number, name in enumerate(NAMES)}
COLUMNS = ("subDirectory_filePath", "face_x", "face_y", "face_width", "face_height", "expression")


def read(folder: Path) -> list[Face]:
    """Returns the faces of the cropped form with one label file each, or of the form with two tables."""
    if existing(folder, "train_set", "training.csv").is_dir():
        return read_crops(folder, "train_set", "train") + read_crops(folder, "val_set", "test")
    return read_table(folder, "training.csv", "train") + read_table(folder, "validation.csv", "test")


def read_crops(folder: Path, name: str, part: str) -> list[Face]:
    """Returns the faces of `train_set` or `val_set`."""
    images, labels, faces = existing(folder, f"{name}/images"), existing(folder, f"{name}/annotations"), []
    for file in some(sorted(labels.glob("*_exp.npy")), labels, "0_exp.npy and the like"):
        try:
            code = str(int(np.load(file, allow_pickle=False)))
        except (OSError, ValueError, TypeError, EOFError) as error:
            raise DataError(f"{file} must hold one number: {error}") from error
        image = images / f"{file.name.removesuffix('_exp.npy')}.jpg"
        faces.append(Face(image, expression_of(code, CODES, file), part=part))
    return all_there(faces, labels)


def read_table(folder: Path, name: str, part: str) -> list[Face]:
    """Returns the faces of `training.csv` or `validation.csv` with one of the seven expressions."""
    table, faces = existing(folder, name), []
    images = existing(folder, "Manually_Annotated_Images")
    with table.open(newline="", encoding="utf-8-sig") as file:
        for row in csv.DictReader(file):
            if not row.keys() >= set(COLUMNS):
                raise DataError(
                    f"{table} must have the columns {', '.join(COLUMNS)}, it has {', '.join(map(str, row))}"
                )
            if (expression := expression_of(row["expression"], CODES, table)) is None:
                continue
            left, top, width, height = (int(float(row[column])) for column in COLUMNS[1:5])
            box = (left, top, left + width, top + height)
            faces.append(Face(images / row["subDirectory_filePath"], expression, part=part, box=box))
    return all_there(faces, table)


DATABASE = Database(
    name="affectnet",
    title="AffectNet",
    address="http://mohammadmahoor.com/affectnet/",
    licence="non-commercial research, by agreement, not for students",
    layout="""\
train_set/images/0.jpg, train_set/annotations/0_exp.npy, ..., and val_set likewise; or
Manually_Annotated_Images/FOLDER/NAME.jpg, with training.csv and validation.csv, header as the owners have it
0 neutral, 1 happiness, 2 sadness, 3 surprise, 4 fear, 5 disgust, 6 anger; left out: 7 contempt, 8 none, 9 uncertain,
10 no face; persons unknown""",
    parts="training part cut 80 : 20 for training and validation; the owners' validation part scores, as published",
    read=read,
)

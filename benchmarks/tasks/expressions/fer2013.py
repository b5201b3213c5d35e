"""FER2013: grey faces of 48 x 48 pixels from the web, with noisy labels."""

import csv
from pathlib import Path

import numpy as np

from dmsrl_adapt.data import DataError

from .database import EXPRESSIONS, Database, Face, class_folders, existing, expression_of, images_in, some

NAMES = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")
CODES = {str(number): name for number, name in enumerate(NAMES)}
FOLDERS = {"angry": "anger", "happy": "happiness", "sad": "sadness", **{name: name for name in EXPRESSIONS}}
PARTS = {"Training": "train", "PublicTest": "validation", "PrivateTest": "test"}
SIDE = 48


def read(folder: Path) -> list[Face]:
    """Returns the faces of the table, or of the folders `train` and `test`."""
    found = existing(folder, "fer2013.csv", "icml_face_data.csv", "train")
    if found.suffix == ".csv":
        return read_table(found)
    faces = []
    for part in ("train", "test"):
        for path, expression in class_folders(existing(folder, part), FOLDERS):
            faces += [Face(image, expression, part=part) for image in images_in(path)]
    return some(faces, folder, "train/angry, test/angry and the like with images")


def read_table(table: Path) -> list[Face]:
    """Returns the faces of a table with the columns emotion, pixels and Usage."""
    faces = []
    with table.open(newline="", encoding="utf-8-sig") as file:
        for number, row in enumerate(csv.DictReader(file, skipinitialspace=True), start=1):
            if not row.keys() >= {"emotion", "pixels", "Usage"}:
                raise DataError(
                    f"{table} must have the columns emotion, pixels, Usage, it has {', '.join(map(str, row))}"
                )
            if row["Usage"] not in PARTS:
                raise DataError(f"row {number} of {table} must be of {', '.join(PARTS)}, got {row['Usage']!r}")
            try:
                pixels = np.array(row["pixels"].split(), dtype=np.uint8).reshape(SIDE, SIDE)
            except (ValueError, OverflowError) as error:
                raise DataError(f"row {number} of {table} must have {SIDE * SIDE} pixels of 0..255: {error}") from error
            faces.append(Face(pixels, expression_of(row["emotion"], CODES, table), part=PARTS[row["Usage"]]))
    return some(faces, table, "rows")


DATABASE = Database(
    name="fer2013",
    title="FER2013",
    address="https://www.kaggle.com/c/challenges-in-representation-learning-facial-expression-recognition-challenge",
    licence="none stated (Goodfellow et al., 2013)",
    layout="""\
fer2013.csv or icml_face_data.csv     columns emotion, pixels, Usage (Training, PublicTest, PrivateTest)
0 anger, 1 disgust, 2 fear, 3 happiness, 4 sadness, 5 surprise, 6 neutral; or, as on Kaggle,
train/angry/Training_3908.jpg, ..., test/angry/..., with angry, disgust, fear, happy, neutral, sad, surprise
persons unknown; images of the training part occur in the others""",
    parts="Training, PublicTest and PrivateTest; of folders train is cut 80 : 20 for training and validation",
    read=read,
)

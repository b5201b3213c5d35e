"""JAFFE: ten Japanese women, three or four posed images of each expression."""

import re
from pathlib import Path

from dmsrl_adapt.data import DataError

from .database import Database, Face, expression_of, some

CODES = {"AN": "anger", "DI": "disgust", "FE": "fear", "HA": "happiness"}
CODES |= {"NE": "neutral", "SA": "sadness", "SU": "surprise"}
FORM = re.compile(r"([A-Z]{2})\.([A-Z]{2})\d\.\d+\.tiff?")


def read(folder: Path) -> list[Face]:
    """Returns the faces of all .tiff files, directly in the folder or in `jaffe/`."""
    root = folder / "jaffe" if (folder / "jaffe").is_dir() else folder
    faces = []
    for file in some(sorted(root.glob("[!.]*.tif*")), root, "KA.AN1.39.tiff and the like"):
        if not (match := FORM.fullmatch(file.name)):
            raise DataError(f"{file} must have a name such as KA.AN1.39.tiff")
        faces.append(Face(file, expression_of(match[2], CODES, file), match[1]))
    return faces


DATABASE = Database(
    name="jaffe",
    title="JAFFE",
    address="https://zenodo.org/records/3451524",
    licence="non-commercial research, by request",
    layout="""\
KA.AN1.39.tiff, ...     213 files, right there or in jaffe/
person, expression with its number, number of the image;
AN anger, DI disgust, FE fear, HA happiness, NE neutral, SA sadness, SU surprise""",
    parts="person-disjoint, 5, 2 and 3 of the ten persons",
    read=read,
)

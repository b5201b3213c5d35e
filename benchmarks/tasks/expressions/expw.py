"""ExpW: faces in photographs from the web, several in some."""

from pathlib import Path

from dmsrl_adapt.data import DataError

from .database import Database, Face, all_there, existing, expression_of, read_lines

NAMES = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")
CODES = {str(number): name for number, name in enumerate(NAMES)}


def read(folder: Path) -> list[Face]:
    """Returns the faces of the list; faces of one photograph have the same subject, so that they stay in one part."""
    listed, images, faces = existing(folder, "label/label.lst"), existing(folder, "image/origin"), []
    for line in read_lines(listed):
        fields = line.split()
        try:
            name, _, top, left, right, bottom = fields[0], *map(int, fields[1:6])
            code = fields[7]
        except (ValueError, IndexError) as error:
            raise DataError(
                f"{listed} must have lines of image, number of the face, top, left, right, bottom, confidence and "
                f"label, got {line!r}"
            ) from error
        box = (left, top, right, bottom)
        faces.append(Face(images / name, expression_of(code, CODES, listed), subject=name, box=box))
    return all_there(faces, listed)


DATABASE = Database(
    name="expw",
    title="ExpW",
    address="https://mmlab.ie.cuhk.edu.hk/projects/socialrelation/index.html",
    licence="non-commercial research",
    layout="""\
label/label.lst     lines of image, number of the face, top, left, right and bottom of its box, confidence, label
image/origin/NAME.jpg, ...     the archives in image/, unpacked
0 anger, 1 disgust, 2 fear, 3 happiness, 4 sadness, 5 surprise, 6 neutral; persons unknown""",
    parts="50 : 20 : 30 of the photographs, drawn at random",
    read=read,
)

"""Oulu-CASIA, visible light, strong illumination: sequences from a neutral face to a posed expression."""

from pathlib import Path

from .database import Database, Face, class_folders, existing, images_in, sequence_faces, some

NAMES = ("Anger", "Disgust", "Fear", "Happiness", "Sadness", "Surprise")
CODES = {name: name.lower() for name in NAMES}


def read(folder: Path) -> list[Face]:
    """Returns four frames of every sequence, of the original images or, without them, of the owners' crops."""
    root, faces = existing(folder, "OriginalImg/VL/Strong", "VL_Acropped/Strong"), []
    for person in some(sorted(root.glob("P[0-9]*")), root, "P001 and the like"):
        for sequence, expression in class_folders(person, CODES):
            faces += sequence_faces(images_in(sequence), expression, person.name, sequence)
    return some(faces, root, "P001/Anger and the like")


DATABASE = Database(
    name="oulucasia",
    title="Oulu-CASIA NIR&VIS",
    address="https://www.oulu.fi/cmvs/node/41316",
    licence="research, by agreement",
    layout="""\
OriginalImg/VL/Strong/P001/Anger/000.jpeg, ...     or the owners' crops, VL_Acropped/Strong/P001/Anger/000.jpeg
class folders Anger, Disgust, Fear, Happiness, Sadness, Surprise
first frame: neutral; last three: the expression; person: P001 to P080""",
    parts="person-disjoint, 50 : 20 : 30 of the persons",
    read=read,
)

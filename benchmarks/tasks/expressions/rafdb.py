"""RAF-DB, basic expressions: faces from the web, each labelled by about forty people."""

from pathlib import Path

from dmsrl_adapt.data import DataError

from .database import Database, Face, all_there, existing, expression_of, read_lines

NAMES = ("surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral")
CODES = {str(number): name for number, name in enumerate(NAMES, start=1)}


def read(folder: Path) -> list[Face]:
    """Returns the faces of the list, from the owners' aligned images."""
    listed = existing(folder, "basic/EmoLabel/list_patition_label.txt")
    images, faces = existing(folder, "basic/Image/aligned"), []
    for line in read_lines(listed):
        name, _, code = line.partition(" ")
        part = name.partition("_")[0]
        if part not in ("train", "test"):
            raise DataError(f"{listed} must have lines such as 'train_00001.jpg 5', got {line!r}")
        file = images / f"{Path(name).stem}_aligned.jpg"
        faces.append(Face(file, expression_of(code.strip(), CODES, listed), part=part))
    return all_there(faces, listed)


DATABASE = Database(
    name="rafdb",
    title="RAF-DB",
    address="http://www.whdeng.cn/RAF/model1.html",
    licence="non-commercial research, by agreement",
    layout="""\
basic/EmoLabel/list_patition_label.txt     lines such as "train_00001.jpg 5"
basic/Image/aligned/train_00001_aligned.jpg, ..., test_0001_aligned.jpg     aligned.zip, unpacked
1 surprise, 2 fear, 3 disgust, 4 happiness, 5 sadness, 6 anger, 7 neutral; persons unknown""",
    parts="the owners' training part (12,271 images) is the source",
    read=read,
)

"""CK+: sequences from a neutral face to a posed expression."""

from pathlib import Path

from dmsrl_adapt.data import DataError

from .database import Database, Face, existing, expression_of, images_in, read_lines, sequence_faces, some

NAMES = ("neutral", "anger", None, "disgust", "fear", "happiness", "sadness", "surprise")
CODES = {str(number): name for number, name in enumerate(NAMES)}


def read(folder: Path) -> list[Face]:
    """Returns four frames of every labelled sequence; those of contempt have expression None."""
    images, emotions, faces = existing(folder, "cohn-kanade-images"), existing(folder, "Emotion"), []
    for file in some(sorted(emotions.glob("*/*/*_emotion.txt")), emotions, "S005/001/..._emotion.txt and the like"):
        text = read_lines(file)[0]
        try:
            code = f"{float(text):g}"
        except ValueError as error:
            raise DataError(f"{file} must hold a number such as 3.0000000e+00, got {text!r}") from error
        subject, sequence = file.parts[-3:-1]
        frames = existing(images, f"{subject}/{sequence}")
        faces += sequence_faces(images_in(frames), expression_of(code, CODES, file), subject, frames)
    return faces


DATABASE = Database(
    name="ckplus",
    title="CK+",
    address="http://www.jeffcohn.net/Resources/",
    licence="non-commercial research, by agreement",
    layout="""\
cohn-kanade-images/S005/001/S005_001_00000001.png, ...     extended-cohn-kanade-images.zip, unpacked
Emotion/S005/001/S005_001_00000011_emotion.txt             Emotion_labels.zip, unpacked; sequences without are left out
0 neutral, 1 anger, 2 contempt (left out), 3 disgust, 4 fear, 5 happiness, 6 sadness, 7 surprise
first frame: neutral; last three: the expression; person: the first folder""",
    parts="person-disjoint, 50 : 20 : 30 of the persons",
    read=read,
)

"""SFEW 2.0: faces from films, aligned by the owners."""

from pathlib import Path

from .database import Database, Face, class_folders, existing, images_in, some

CODES = {"Angry": "anger", "Disgust": "disgust", "Fear": "fear", "Happy": "happiness"}
CODES |= {"Neutral": "neutral", "Sad": "sadness", "Surprise": "surprise"}


def read(folder: Path) -> list[Face]:
    """Returns the faces of the owners' training and validation parts; their test part has no labels."""
    faces = []
    for part, own in (("train", "Train"), ("test", "Val")):
        name = f"{own}_Aligned_Faces"
        root = existing(folder, f"{own}/{name}", f"{own}/{name}_new", name, f"{name}_new")
        for path, expression in class_folders(root, CODES):
            faces += [Face(image, expression, part=part) for image in images_in(path)]
    return some(faces, folder, "images in class folders")


DATABASE = Database(
    name="sfew",
    title="SFEW 2.0",
    address="https://users.cecs.anu.edu.au/~few_group/AFEW.html",
    licence="non-commercial research, by agreement",
    layout="""\
Train/Train_Aligned_Faces/Angry/NAME.png, ...     Train_Aligned_Faces.zip, unpacked; without Train/ too
Val/Val_Aligned_Faces/Angry/NAME.png, ...         or Val_Aligned_Faces_new
class folders Angry, Disgust, Fear, Happy, Neutral, Sad, Surprise; persons unknown, the owners' parts share none""",
    parts="training part cut 80 : 20 for training and validation; the owners' validation part scores, as published",
    read=read,
)

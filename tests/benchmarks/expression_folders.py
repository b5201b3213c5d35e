"""Small databases of facial expressions in the layouts in which their owners distribute them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

SEVEN = ("anger", "disgust", "fear", "happiness", "neutral", "sadness", "surprise")
SIX = tuple(name for name in SEVEN if name != "neutral")
PERSONS = 10


def grey_of(expression: str) -> int:
    """The grey of an image of an expression."""
    return 20 + 30 * SEVEN.index(expression)


def write_image(path: Path, expression: str, size: tuple[int, int] = (12, 10)) -> None:
    """Writes a grey image that tells its expression."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", size, grey_of(expression)).save(path)


def write_sequence(folder: Path, expression: str, frames: int, peak: slice, form: str = "{:03}.png") -> None:
    """Writes frames that are neutral but for the peak."""
    shown = ["neutral"] * frames
    shown[peak] = [expression] * len(shown[peak])
    for number, name in enumerate(shown):
        write_image(folder / form.format(number), name)


def write_rafdb(root: Path) -> None:
    order, lines = ("surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral"), []
    for part, count in (("train", 3), ("test", 2)):
        for number in range(count * len(order)):
            code, name = number % len(order), f"{part}_{number + 1:05}"
            write_image(root / f"basic/Image/aligned/{name}_aligned.jpg", order[code])
            lines.append(f"{name}.jpg {code + 1}")
    (root / "basic/EmoLabel").mkdir(parents=True)
    (root / "basic/EmoLabel/list_patition_label.txt").write_text("\n".join(lines) + "\n")
    write_image(root / "basic/Image/aligned/stray.jpg", "anger")


def write_ckplus(root: Path) -> None:
    order = ("neutral", "anger", "contempt", "disgust", "fear", "happiness", "sadness", "surprise")
    for person in range(PERSONS):
        for code, expression in enumerate(order[1:], start=1):
            place = f"S{person:03}/{code:03}"
            peak = "neutral" if expression == "contempt" else expression
            name = f"S{person:03}_{code:03}_{{:08}}.png"
            write_sequence(root / "cohn-kanade-images" / place, peak, 6, slice(3, None), name)
            (root / "Emotion" / place).mkdir(parents=True)
            text = f"   {code:.7e}\n"
            (root / "Emotion" / place / f"S{person:03}_{code:03}_00000006_emotion.txt").write_text(text)
    (root / "cohn-kanade-images/.DS_Store").write_text("stray")
    write_sequence(root / "cohn-kanade-images/S000/009", "anger", 6, slice(3, None))  # without a label
    (root / "Emotion/S000/009").mkdir(parents=True)


def write_jaffe(root: Path) -> None:
    codes = ("AN", "DI", "FE", "HA", "NE", "SA", "SU")
    for person in ("KA", "KL", "KM", "KR", "MK", "NA", "NM", "TM", "UY", "YM"):
        for number, (code, expression) in enumerate(zip(codes, SEVEN, strict=True)):
            write_image(root / "jaffe" / f"{person}.{code}{number % 3 + 1}.{number}.tiff", expression)
    (root / "jaffe" / "README_FIRST.txt").write_text("stray")


def write_oulucasia(root: Path) -> None:
    for person in range(1, PERSONS + 1):
        for expression in SIX:
            folder = root / f"OriginalImg/VL/Strong/P{person:03}" / expression.capitalize()
            write_sequence(folder, expression, 5, slice(2, None), "{:03}.jpeg")
    (root / "OriginalImg/VL/Strong/Thumbs.db").write_text("stray")


def write_mmi(root: Path) -> None:
    lines = ["session,emotion"]
    for session in range(PERSONS * len(SIX)):
        expression, person = SIX[session % len(SIX)], session // len(SIX)
        folder = root / f"Sessions/{session}"
        write_sequence(folder / f"S{person:03}-{session:03}", expression, 9, slice(3, 6), "{:06}.png")
        (folder / f"S{person:03}-{session:03}.avi").write_text("stray")
        lines.append(f"{session},{expression}")
    (root / "emotions.csv").write_text("\n".join(lines) + "\n")


AFFECTNET = ("neutral", "happiness", "sadness", "surprise", "fear", "disgust", "anger")


def write_affectnet(root: Path) -> None:
    for part, count in (("train_set", 10), ("val_set", 2)):
        (root / part / "annotations").mkdir(parents=True)
        for number in range(count * 8):
            code = number % 8  # the last is contempt
            write_image(root / part / f"images/{number}.jpg", (*AFFECTNET, "neutral")[code])
            np.save(root / part / f"annotations/{number}_exp.npy", np.array(str(code)))
            np.save(root / part / f"annotations/{number}_aro.npy", np.array("0.5"))


def write_affectnet_tables(root: Path) -> None:
    for part, count in (("training", 10), ("validation", 2)):
        lines = [
            "subDirectory_filePath,face_x,face_y,face_width,face_height,facial_landmarks,expression,valence,arousal"
        ]
        for number in range(count * 11):
            code, name = number % 11, f"{number % 3}/{part}{number}.jpg"
            if code < len(AFFECTNET):
                write_boxed(root / "Manually_Annotated_Images" / name, AFFECTNET[code])
            lines.append(f'{name},4,2,6,5,"1;2;3",{code},0.1,-0.2')
        (root / f"{part}.csv").write_text("\n".join(lines) + "\n")


def write_boxed(path: Path, expression: str) -> None:
    """Writes an image that is white but for its box, 6 x 5 pixels from (4, 2) on."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.new("L", (20, 15), 255)
    image.paste(grey_of(expression), (4, 2, 10, 7))
    image.save(path, quality=100)


FER2013 = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")


def write_fer2013(root: Path, header: str = "emotion,pixels,Usage", name: str = "fer2013.csv") -> None:
    root.mkdir(parents=True, exist_ok=True)
    lines = [header]
    for usage in ("Training", "PublicTest", "PrivateTest"):
        for number in range(14):
            cells = {"emotion": str(number % 7), "Usage": usage}
            cells["pixels"] = " ".join([str(grey_of(FER2013[number % 7]))] * 48 * 48)
            lines.append(",".join(cells[column.strip()] for column in header.split(",")))
    (root / name).write_text("\n".join(lines) + "\n")


def write_fer2013_folders(root: Path) -> None:
    names = {"angry": "anger", "happy": "happiness", "sad": "sadness"}
    names |= {name: name for name in ("disgust", "fear", "neutral", "surprise")}
    for part, count in (("train", 10), ("test", 2)):
        for folder, expression in names.items():
            for number in range(count):
                write_image(root / part / folder / f"{number}.jpg", expression)
        (root / part / "angry" / "notes.txt").write_text("stray")


def write_sfew(root: Path) -> None:
    names = ("Angry", "Disgust", "Fear", "Happy", "Neutral", "Sad", "Surprise")
    for part, folder, count in (("Train", "Train_Aligned_Faces", 10), ("Val", "Val_Aligned_Faces_new", 2)):
        for name, expression in zip(names, SEVEN, strict=True):
            for number in range(count):
                write_image(root / part / folder / name / f"Film_{number:06}.png", expression)
        (root / part / folder / "__MACOSX").mkdir()


def write_expw(root: Path) -> None:
    lines = []
    for number in range(70):
        write_boxed(root / f"image/origin/photo_{number}.jpg", FER2013[number % 7])
        lines += [f"photo_{number}.jpg {face} 2 4 10 7 54.2 {number % 7}" for face in (0, 1)]
    (root / "label").mkdir(parents=True)
    (root / "label/label.lst").write_text("\n".join(lines) + "\n")


WRITERS: dict[str, Callable[[Path], None]] = {
    "rafdb": write_rafdb,
    "affectnet": write_affectnet,
    "ckplus": write_ckplus,
    "expw": write_expw,
    "fer2013": write_fer2013,
    "jaffe": write_jaffe,
    "mmi": write_mmi,
    "oulucasia": write_oulucasia,
    "sfew": write_sfew,
}

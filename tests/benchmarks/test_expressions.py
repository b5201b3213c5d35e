"""Databases of facial expressions: labels, persons and parts as the owners have them, one clear error where not."""

import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks import data_check
from benchmarks.cli import main
from benchmarks.methods import get_method
from benchmarks.tasks import DataError, DataPlace, Split, expressions, load_task, task_names
from benchmarks.tasks.expressions.database import EXPRESSIONS, Face
from benchmarks.training import Plan, train
from dmsrl_adapt.backbones.local_windows import ALIGNED

from . import expression_folders as folders

# images of each expression, and of those that have none of ours
COUNTS = {
    "affectnet": ([12] * 7, 12),
    "ckplus": ([30, 30, 30, 30, 60, 30, 30], 40),
    "expw": ([20] * 7, 0),
    "fer2013": ([6] * 7, 0),
    "jaffe": ([10] * 7, 0),
    "mmi": ([30, 30, 30, 30, 60, 30, 30], 0),
    "oulucasia": ([30, 30, 30, 30, 60, 30, 30], 0),
    "rafdb": ([5] * 7, 0),
    "sfew": ([12] * 7, 0),
}
DATABASES = {**expressions.TARGETS, "rafdb": expressions.SOURCE}
every_target = pytest.mark.parametrize("target", expressions.TARGETS)


def place_with(root: Path, *names: str) -> DataPlace:
    for name in names:
        folders.WRITERS[name](root / name)
    return DataPlace(root)


def shown(split: Split) -> list[str]:
    """The expressions that the greys of the images tell."""
    greys = split.inputs[:, 0, 20:28, 20:28].float().mean((1, 2))
    return [EXPRESSIONS[round(float(grey - 20) / 30)] for grey in greys]


@pytest.mark.parametrize("name", COUNTS)
def test_every_face_is_counted_and_strays_are_not(name: str, tmp_path: Path) -> None:
    place_with(tmp_path, name)
    per_class, left_out = COUNTS[name]
    counts = dict(DATABASES[name].count(tmp_path / name))
    assert counts.pop("left out", 0) == left_out
    assert counts == dict(zip(EXPRESSIONS, per_class, strict=True))


@every_target
def test_labels_are_those_of_the_images_and_parts_hold_all_of_them(target: str, tmp_path: Path) -> None:
    task = load_task(f"rafdb-{target}", place_with(tmp_path, "rafdb", target))
    assert task.classes == EXPRESSIONS
    assert task.metric == "balanced_accuracy"
    parts = (task.target_train, task.target_validation, task.target_test)
    for part in (task.source, *parts):
        assert tuple(part.inputs.shape[1:]) == (3, 48, 48)
        assert shown(part) == [EXPRESSIONS[label] for label in part.known_labels]
    assert len(task.source) == 3 * 7
    assert sum(map(len, parts)) == sum(COUNTS[target][0])
    assert all(len(part) for part in parts)


@pytest.mark.parametrize("target", ["ckplus", "expw", "jaffe", "mmi", "oulucasia"])
def test_no_person_and_no_photograph_is_in_two_parts(
    target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = place_with(tmp_path, "rafdb", target)
    faces = expressions.labelled_faces(expressions.TARGETS[target], place)
    persons = sorted({str(face.subject) for face in faces})
    assert len(persons) == (70 if target == "expw" else 10)

    def numbered(some: list[Face], is_aligned: bool) -> Split:
        rows = torch.tensor([persons.index(str(face.subject)) if face.subject else -1 for face in some])
        return Split(rows[:, None], rows)

    monkeypatch.setattr(expressions, "split_of", numbered)
    task = load_task(f"rafdb-{target}", place)
    found = [set(part.known_labels.tolist()) for part in (task.target_train, task.target_validation, task.target_test)]
    assert [len(group) for group in found] == [round(share * len(persons)) for share in (0.5, 0.2, 0.3)]
    assert set.union(*found) == set(range(len(persons)))


@pytest.mark.parametrize("target", ["affectnet", "fer2013", "sfew"])
def test_parts_of_the_owners_are_kept(target: str, tmp_path: Path) -> None:
    task = load_task(f"rafdb-{target}", place_with(tmp_path, "rafdb", target))
    sizes = [len(part) for part in (task.target_train, task.target_validation, task.target_test)]
    assert sizes == ([14, 14, 14] if target == "fer2013" else [56, 14, 14])


@pytest.mark.parametrize("target", expressions.WHOLE)
def test_whole_target_is_for_training_and_scoring(target: str, tmp_path: Path) -> None:
    task = load_task(f"rafdb-{target}_whole", place_with(tmp_path, "rafdb", target))
    assert len(task.target_train) == len(task.target_test) == sum(COUNTS[target][0])


def test_other_layouts_of_the_same_owners_are_the_same(tmp_path: Path) -> None:
    def counts(name: str, folder: Path) -> dict[str, int]:
        return dict(DATABASES[name].count(folder))

    folders.write_fer2013(tmp_path / "spaces", "emotion, Usage, pixels", "icml_face_data.csv")
    folders.write_fer2013_folders(tmp_path / "folders")
    assert counts("fer2013", tmp_path / "spaces") == dict.fromkeys(EXPRESSIONS, 6)
    assert counts("fer2013", tmp_path / "folders") == dict.fromkeys(EXPRESSIONS, 12)
    folders.write_affectnet_tables(tmp_path / "affectnet")
    assert counts("affectnet", tmp_path / "affectnet") == dict.fromkeys(EXPRESSIONS, 12)
    task = load_task("rafdb-affectnet", place_with(tmp_path, "rafdb"))
    assert shown(task.target_test) == [EXPRESSIONS[label] for label in task.target_test.known_labels]
    folders.write_oulucasia(tmp_path / "crops")
    (tmp_path / "crops/OriginalImg/VL").rename(tmp_path / "crops/VL_Acropped")
    assert counts("oulucasia", tmp_path / "crops")["anger"] == 30
    folders.write_sfew(tmp_path / "flat")
    for part in ("Train", "Val"):
        (inner,) = (tmp_path / "flat" / part).iterdir()
        inner.rename(tmp_path / "flat" / inner.name.removesuffix("_new"))
    assert counts("sfew", tmp_path / "flat") == dict.fromkeys(EXPRESSIONS, 12)


def test_of_a_large_part_some_are_drawn_the_same_at_every_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = place_with(tmp_path, "rafdb", "sfew")
    monkeypatch.setattr(expressions, "AT_MOST", 10)
    first, second = (load_task("rafdb-sfew", place) for _ in range(2))
    assert (len(first.source), len(first.target_train), len(first.target_test)) == (10, 8, 10)
    assert torch.equal(first.source.inputs, second.source.inputs)


def write(path: Path, text: str) -> None:
    path.write_text(text)


def remove_all(folder: Path, pattern: str) -> None:
    for path in folder.glob(pattern):
        path.unlink()


WRONG = {
    "rafdb": [
        (
            lambda r: write(r / "basic/EmoLabel/list_patition_label.txt", "train_00001.jpg 8"),
            "label '8', .* one of 1, 2",
        ),
        (
            lambda r: write(r / "basic/EmoLabel/list_patition_label.txt", "00001.jpg 1"),
            "lines such as .* got '00001.jpg 1'",
        ),
        (lambda r: write(r / "basic/EmoLabel/list_patition_label.txt", ""), "list_patition_label.txt is empty"),
        (
            lambda r: (r / "basic/Image/aligned/train_00002_aligned.jpg").unlink(),
            "35 images, of which 1 are missing, .*2_al",
        ),
        (
            lambda r: (r / "basic/Image/aligned").rename(r / "basic/aligned"),
            "must hold basic/Image/aligned, it holds basic",
        ),
    ],
    "ckplus": [
        (lambda r: write(next(r.glob("Emotion/*/*/*.txt")), "9.0"), "label '9', which must be one of 0, 1"),
        (lambda r: write(next(r.glob("Emotion/*/*/*.txt")), "happy"), "must hold a number such as .*, got 'happy'"),
        (lambda r: (r / "Emotion").rename(r / "Labels"), "must hold Emotion, it holds Labels, cohn-kanade-images"),
        (lambda r: remove_all(r, "cohn-kanade-images/S001/002/*"), "S001/002 must have more than 3 frames, it has 0"),
    ],
    "jaffe": [
        (lambda r: folders.write_image(r / "jaffe/KA.XX1.1.tiff", "fear"), "KA.XX1.1.tiff has the label 'XX'"),
        (lambda r: folders.write_image(r / "jaffe/face.tiff", "fear"), "face.tiff must have a name such as KA"),
        (lambda r: remove_all(r, "jaffe/*.tiff"), "jaffe must hold KA.AN1.39.tiff and the like, found none"),
    ],
    "oulucasia": [
        (lambda r: (r / "OriginalImg/VL/Strong/P001/Angry").mkdir(), "label 'Angry', which must be one of Anger"),
        (lambda r: remove_all(r, "OriginalImg/VL/Strong/P003/Fear/*"), "P003/Fear must have more than 3 frames"),
    ],
    "mmi": [
        (lambda r: write(r / "emotions.csv", "session,emotion\n0,joy\n"), "label 'joy', which must be one of anger"),
        (lambda r: write(r / "emotions.csv", "id,emotion\n0,joy\n"), "columns session and emotion, it has id, emotion"),
        (lambda r: write(r / "emotions.csv", "session,emotion\n999,fear\n"), "must hold Sessions/999"),
        (lambda r: remove_all(r, "Sessions/0/S000-000/*"), "S000-000 must hold more than 3 frames, it holds 0"),
        (
            lambda r: (r / "Sessions/0/S000-000").rename(r / "frames"),
            "one folder of frames, such as S001-001, it holds 0",
        ),
    ],
    "affectnet": [
        (
            lambda r: np.save(r / "train_set/annotations/3_exp.npy", np.array("11")),
            "label '11', which must be one of 0",
        ),
        (lambda r: np.save(r / "train_set/annotations/3_exp.npy", np.array("x")), "3_exp.npy must hold one number"),
        (
            lambda r: (r / "val_set/images/3.jpg").unlink(),
            "16 images, of which 1 are missing, such as .*val_set/images/3.jpg",
        ),
        (lambda r: (r / "val_set").rename(r / "test_set"), "must hold val_set/images, it holds test_set, train_set"),
    ],
    "fer2013": [
        (
            lambda r: write(r / "fer2013.csv", "emotion,pixels,Usage\n7," + "0 " * 2304 + ",Training\n"),
            "label '7', which",
        ),
        (
            lambda r: write(r / "fer2013.csv", "emotion,pixels,Usage\n1,0 0,Training\n"),
            "row 1 .* must have 2304 pixels",
        ),
        (
            lambda r: write(r / "fer2013.csv", "emotion,pixels,Usage\n1,0 0,Test\n"),
            "must be of Training, .* got 'Test'",
        ),
        (lambda r: write(r / "fer2013.csv", "emotion,pixels\n1,0 0\n"), "must have the columns emotion, pixels, Usage"),
        (
            lambda r: (r / "fer2013.csv").unlink(),
            "must hold fer2013.csv or icml_face_data.csv or train, it holds nothing",
        ),
    ],
    "sfew": [
        (lambda r: (r / "Val/Val_Aligned_Faces_new/Contempt").mkdir(), "label 'Contempt', which must be one of Angry"),
        (lambda r: (r / "Val").rename(r / "Test"), "must hold Val/Val_Aligned_Faces or"),
    ],
    "expw": [
        (lambda r: write(r / "label/label.lst", "photo_0.jpg 0 2 4 10 7 54.2 7"), "label '7', which must be one of 0"),
        (
            lambda r: write(r / "label/label.lst", "photo_0.jpg 0 2 4 10"),
            "lines of image, .* got 'photo_0.jpg 0 2 4 10'",
        ),
        (lambda r: (r / "image/origin/photo_1.jpg").unlink(), "140 images, of which 2 are missing"),
    ],
}
CASES = [(name, number) for name, cases in WRONG.items() for number in range(len(cases))]


@pytest.mark.parametrize(("name", "number"), CASES)
def test_what_is_not_as_it_should_be_is_one_error_that_names_it(name: str, number: int, tmp_path: Path) -> None:
    place_with(tmp_path, name)
    spoil, message = WRONG[name][number]
    spoil(tmp_path / name)
    with pytest.raises(DataError, match=message):
        DATABASES[name].read(tmp_path / name)


def test_an_expression_without_images_an_unreadable_image_and_a_box_outside_are_errors(tmp_path: Path) -> None:
    place = place_with(tmp_path, "rafdb", "sfew", "expw")
    (tmp_path / "sfew/Val/Val_Aligned_Faces_new/Sad/Film_000000.png").write_bytes(b"not a png")
    with pytest.raises(DataError, match=r"Sad/Film_000000.png cannot be read as an image"):
        load_task("rafdb-sfew", place)
    remove_all(tmp_path, "sfew/*/*/Fear/*")
    with pytest.raises(DataError, match=r"SFEW 2.0 in .* has no images of fear"):
        load_task("rafdb-sfew", place)
    label_list = tmp_path / "expw/label/label.lst"
    label_list.write_text(label_list.read_text().replace("photo_0.jpg 0 2 4 10 7", "photo_0.jpg 0 200 4 10 207"))
    with pytest.raises(DataError, match=r"photo_0.jpg is 20 x 15, its box \(4, 200, 10, 207\) is not in it"):
        load_task("rafdb-expw", place)


def test_aligned_faces_are_cut_by_landmarks_that_are_searched_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    searched = []

    def find(image: torch.Tensor) -> list[list[float]] | None:
        searched.append(image)
        # of a face that is half as large as an aligned one, in the middle; none in faces that show fear
        half = (torch.tensor(ALIGNED) / 2 + 0.25).tolist()
        return None if round(float(image[0, 5, 5])) == folders.grey_of("fear") else half

    monkeypatch.setattr(sys.modules["dmsrl_adapt.backbones.face_landmarks"], "mtcnn", lambda device: find)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    place = place_with(tmp_path, "rafdb", "jaffe")
    for path in (tmp_path / "jaffe").rglob("*.tiff"):
        image = Image.open(path).resize((40, 40))
        framed = Image.new("L", (80, 80), folders.grey_of("fear") if ".FE" in path.name else 255)
        framed.paste(image, (20, 20))
        framed.save(path)
    task = load_task("rafdb_aligned-jaffe_whole", place)
    labels = [EXPRESSIONS[label] for label in task.target_test.known_labels]
    assert shown(task.target_test) == labels
    corners = task.target_test.inputs[:, 0, 2, 2]
    assert all(corners != 255)  # the frame is cut off
    count = len(searched)
    again = load_task("rafdb_aligned-jaffe_whole", place)
    assert len(searched) == count > 0
    assert torch.equal(again.source.inputs, task.source.inputs)
    plain = load_task("rafdb-jaffe_whole", place).target_test
    assert (plain.inputs[:, 0, 2, 2] == 255).sum() == 60


def test_a_method_trains_on_a_database(tmp_path: Path) -> None:
    task = load_task("rafdb-jaffe", place_with(tmp_path, "rafdb", "jaffe"))
    outcome = train(task, get_method("dmsrl"), seed=0, plan=Plan(steps=2, batch_size=8, scorings=1))
    assert len(outcome.predictions) == len(task.target_test)


def test_check_tells_what_is_missing_with_address_and_layout(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place_with(tmp_path, "rafdb")
    assert main(["data", "check", "rafdb-jaffe,rafdb-ckplus", "--data-dir", str(tmp_path)]) == 1
    told = capsys.readouterr().out
    assert (
        told.count("rafdb: 35 samples: anger 5, disgust 5, fear 5, happiness 5, neutral 5, sadness 5, surprise 5") == 2
    )
    assert "jaffe: MISSING" in told and "https://zenodo.org/records/3451524" in told and "KA.AN1.39.tiff" in told
    assert "ckplus: MISSING" in told and "_emotion.txt" in told


def test_check_counts_parts_by_class_and_tells_what_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place_with(tmp_path, "rafdb", "ckplus")
    arguments = ["data", "check", "rafdb-ckplus", "--data-dir", str(tmp_path)]
    assert main(arguments) == 0
    told = capsys.readouterr().out
    assert "neutral 60, sadness 30, surprise 30, left out 40" in told
    assert told.splitlines()[-3].split()[:9] == ["target_test", "72", "9", "9", "9", "9", "18", "9", "9"]
    frame = next((tmp_path / "ckplus/cohn-kanade-images/S001/001").glob("*00.png"))
    frame.write_bytes(b"no image")
    assert main(arguments) == 1
    assert f"The task cannot be made of it: {frame} cannot be read" in capsys.readouterr().out
    next((tmp_path / "ckplus/Emotion").glob("*/*/*.txt")).write_text("12")
    assert main(arguments) == 1
    told = capsys.readouterr().out
    assert "ckplus: NOT AS IT SHOULD BE" in told and "label '12'" in told and "jeffcohn.net" in told


def test_check_knows_what_every_task_needs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    complete = [name for name in task_names() if data_check.check(name, DataPlace(tmp_path))]
    told = capsys.readouterr().out
    assert complete == ["embedded"]
    assert "pacs_sketch.npz: MISSING" in told and "mnistm_test.npz: MISSING" in told and "--download" in told
    assert main(["data", "check", "nonsense"]) == 2
    assert "there is no task 'nonsense'" in capsys.readouterr().err


def test_check_counts_digits_and_files_without_names_of_classes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for domain in ("mnist", "usps"):
        for part in ("train", "test"):
            labels = np.array([0, 1, 1, 2, 4, 4, 4, 4])
            np.savez(tmp_path / f"{domain}_{part}.npz", images=np.zeros((8, 28, 28), np.uint8), labels=labels)
    assert data_check.check("mnist-usps", DataPlace(tmp_path))
    told = capsys.readouterr().out
    assert "usps_test.npz: 8 samples: 0 1, 1 2, 2 1, 3 0, 4 4" in told
    assert Counter(line.split()[0] for line in told.splitlines() if line)["target_test"] == 1


def test_pixels_of_a_table_and_of_a_cut_are_as_they_were(tmp_path: Path) -> None:
    pixels = np.arange(48 * 48).reshape(48, 48).astype(np.uint8)
    assert np.array_equal(expressions.pixels_of(Face(pixels, "fear"))[:, :, 1], pixels)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    cut = expressions.pixels_of(Face(tmp_path / "a.png", "fear", box=(-3, 2, 7, 12)))
    assert np.array_equal(cut[:, :, 2], pixels[2:12, :7])

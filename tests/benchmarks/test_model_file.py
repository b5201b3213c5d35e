"""Training on one's own photographs, the model file, and what it predicts for a third folder."""

import csv
import random
import zipfile
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks import model_file, predictions
from benchmarks.cli import main
from benchmarks.commands.options import own_task
from benchmarks.commands.train import with_whole_target
from benchmarks.grid import OwnTask
from benchmarks.methods import get_method
from benchmarks.model_file import read_model, write_model
from benchmarks.predictions import Prediction, draw_sheet, extremes, predict, sheet_path
from benchmarks.tasks import Split, Task
from benchmarks.training import Plan, infer, to_inputs, train
from dmsrl_adapt.data import files, open_data

OWN = OwnTask(Path("lab"), Path("field"), None, 12, "small")
PLAN = Plan(steps=2, batch_size=8, scorings=1)
TURNED = {1: 0, 3: 2, 6: 1, 8: 3}  # quarters against the clock by which a phone stores what its EXIF turns back


def photo(label: str, size: tuple[int, int], orientation: int = 1) -> Image.Image:
    """A grey photograph, bright in its upper half for "sky", in its left half for "wall", as it is stored."""
    width, height = size
    pixels = np.random.RandomState(width + height).randint(20, 90, (height, width, 3)).astype(np.uint8)
    pixels[(slice(height // 2), slice(None)) if label == "sky" else (slice(None), slice(width // 2))] += 150
    return Image.fromarray(np.ascontiguousarray(np.rot90(pixels, TURNED[orientation])))


def save_photos(folder: Path, label: str, number: int) -> None:
    """Writes photographs as phones, scanners and programs make them, `number` rounds of six, and a text file."""
    folder.mkdir(parents=True, exist_ok=True)
    for turn in range(number):
        side = 40 + turn
        for orientation in (3, 6, 8):
            exif = Image.Exif()
            exif[0x0112] = orientation
            photo(label, (side + 13, side), orientation).save(folder / f"IMG_{turn}{orientation}.JPG", exif=exif)
        with_alpha = photo(label, (side, side)).convert("RGBA")
        with_alpha.putalpha(200)
        with_alpha.save(folder / f"cut out {turn}.png")
        photo(label, (2 * side, side)).convert("L").save(folder / f"grey_{turn}.jpeg")
        photo(label, (side, 3 * side)).convert("P").save(folder / f"palette_{turn}.gif")
    (folder / "notes.txt").write_text("not an image")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders `lab`, with labels, `field`, without, and `third`, whose files name their class."""
    root = tmp_path_factory.mktemp("photos")
    for label in ("sky", "wall"):
        save_photos(root / "lab" / label, label, 4)
        save_photos(root / "third" / "holiday" / label, label, 1)
        for number, file in enumerate(sorted((root / "lab" / label).glob("*.*"))):
            (root / "field").mkdir(exist_ok=True)
            (root / "field" / f"{label}{number}{file.suffix}").write_bytes(file.read_bytes())
    photo("wall", (4000, 3000)).save(root / "third" / "wall large.jpg")  # 12 megapixels
    return root


@pytest.fixture(scope="module")
def model(photos: Path) -> Path:
    """The file that `train` writes of lab and field."""
    path = photos / "new" / "model.pt"
    command = ["train", "--source", str(photos / "lab"), "--target", str(photos / "field"), "--out", str(path)]
    assert main([*command, "--size", "12", "--steps", "60"]) == 0
    return path


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_photographs_as_phones_make_them_are_trained_on_and_labelled(
    photos: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new" / "labels.csv"
    assert main(["predict", str(model), str(photos / "third"), "--out", str(out)]) == 0
    rows = read_csv(out)
    # six of each class, the large one, no text file
    assert len(rows) == 13 and {"holiday/sky/IMG_06.JPG", "wall large.jpg"} < {row["file"] for row in rows}
    assert all(row["label"] in row["file"] for row in rows)
    assert all(0.5 <= float(row["confidence"]) <= 1 for row in rows)
    printed = capsys.readouterr().out
    assert f"{out}\n{out.with_suffix('.png')}\n" in printed
    assert [line.split() for line in printed.splitlines()[-2:]] == [["wall", "7"], ["sky", "6"]]


def test_heic_without_its_package_is_told_with_what_to_install(
    monkeypatch: pytest.MonkeyPatch, photos: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(files, "HAS_HEIF", False)
    (tmp_path / "phone").mkdir()
    photo("sky", (40, 40)).save(tmp_path / "phone" / "IMG_0001.JPG")
    for name in ("IMG_0002.HEIC", "IMG_0003.heif", "IMG_0002.MOV"):
        (tmp_path / "phone" / name).write_bytes(b"as a phone writes it")
    note = "3 files are left out, such as IMG_0002.HEIC; 2 of them HEIC, which need: "
    assert main(["predict", str(model), str(tmp_path / "phone"), "--out", str(tmp_path / "labels.csv")]) == 0
    assert f"note: {tmp_path / 'phone'}: {note}pip install pillow-heif\n" in capsys.readouterr().err
    assert [row["file"] for row in read_csv(tmp_path / "labels.csv")] == ["IMG_0001.JPG"]
    own_task(SimpleNamespace(source=photos, target=tmp_path / "phone", target_test=None, network="small", size=8))
    assert f"{note}pip install pillow-heif\n" in capsys.readouterr().err


def test_the_sheet_shows_images_most_and_least_certain_first(photos: Path, tmp_path: Path) -> None:
    files = [photos / "field" / name for name in open_data(photos / "field").names[:40]]
    found = [Prediction(file, "$x", number / 40) for number, file in enumerate(files)]
    random.Random(0).shuffle(found)
    most, least = extremes(found)
    assert [one.confidence for one in most] == [number / 40 for number in range(39, 23, -1)]
    assert [one.confidence for one in least] == [number / 40 for number in range(16)]
    assert [len(half) for half in extremes(found[:3])] == [1, 1]
    assert [len(half) for half in extremes(found[:1])] == [1, 1]
    sheet = np.asarray(Image.open(draw_sheet(found, tmp_path / "new" / "sheet.png")).convert("L"))
    for half in np.array_split(sheet, 2):
        # images cover a good part of both halves
        assert (half < 250).mean() > 0.3
    draw_sheet(found[:1], tmp_path / "one.png")


def test_training_tells_progress_classes_and_what_is_left_out(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["train", "--source", str(photos / "lab"), "--size", "8", "--steps", "8", "--out"]
    assert main([*command, str(tmp_path / "m.pt"), "--target", str(photos / "lab")]) == 0
    labelled = capsys.readouterr()
    assert f"note: {photos / 'lab'}: 2 files are left out, such as sky/notes.txt" in labelled.err
    assert "training dmsrl on 48 of the source and 29 of the target, 2 classes: sky, wall" in labelled.err
    assert "8/8" in labelled.err
    assert labelled.out.splitlines()[0].split("  ") == ["step", "accuracy, %", "balanced, %", "label-free score"]
    assert "on 14 target samples that were not used for training" in labelled.out
    content = torch.load(tmp_path / "m.pt", weights_only=True)
    assert f"{100 * content['scores']['accuracy']:.1f}" == labelled.out.splitlines()[9].split()[1]
    # without labels nothing can be scored: all of the target is trained on
    assert main([*command, str(tmp_path / "blind.pt"), "--target", str(photos / "field")]) == 0
    blind = capsys.readouterr()
    assert "48 of the source and 48 of the target" in blind.err
    assert "accuracy" not in blind.out and blind.out.splitlines()[0].split("  ") == ["step", "label-free score"]
    assert "python -m benchmarks predict" in blind.out


def test_a_model_of_another_task_and_other_files_are_not_written_over(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "m.pt"
    command = ["train", "--source", str(photos / "lab"), "--size", "8", "--steps", "1", "--out", str(out), "--target"]
    assert main([*command, str(photos / "field")]) == main([*command, str(photos / "field")]) == 0
    assert main([*command, str(photos / "lab")]) == 2
    *_, line = capsys.readouterr().err.splitlines()
    assert f"error: {out} is there already and is the model of lab-field-" in line and "name another --out" in line
    out.write_text("my diary")
    assert main([*command, str(photos / "field")]) == 2
    assert f"{out} is there already and is no model file" in capsys.readouterr().err
    assert out.read_text() == "my diary"


def test_table_and_sheet_are_two_files_and_none_of_the_images(
    photos: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert [sheet_path(Path(name)).name for name in ("a.csv", "a.png", "run.1", "run.2", "a")] == [
        "a.png",
        "a.png.png",
        "run.1.png",
        "run.2.png",
        "a.png",
    ]
    (tmp_path / "new").mkdir()
    image = tmp_path / "new" / "first.png"
    photo("sky", (40, 40)).save(image)
    for out in (image, image.with_suffix(".csv")):
        assert main(["predict", str(model), str(image.parent), "--out", str(out)]) == 2
        assert f"{image} is one of the images to be labelled" in capsys.readouterr().err
    assert [path.name for path in image.parent.iterdir()] == ["first.png"]


def test_whole_target_is_every_sample_once(vectors: Task) -> None:
    assert with_whole_target(vectors) is vectors
    blind = {
        part: replace(getattr(vectors, part), labels=None)
        for part in ("target_train", "target_validation", "target_test")
    }
    whole = with_whole_target(replace(vectors, **blind)).target_train
    assert torch.equal(whole.inputs, torch.cat([part.inputs for part in blind.values()]))


def test_the_file_tells_all_and_is_read_without_running_code(model: Path) -> None:
    content = torch.load(model, weights_only=True)
    assert content["classes"] == ["sky", "wall"]
    assert content["settings"] == dict(get_method("dmsrl").settings)
    assert content["run"]["steps"] == 60 and content["run"]["task"].startswith("lab-field-")
    assert content["versions"]["torch"] and content["scores"]["accuracy"] is None
    pixels = torch.arange(256).byte()
    told = content["transform"]
    assert told["size"] == 12 and told["frozen"] is None
    torch.testing.assert_close(pixels * told["scale"] + told["shift"], to_inputs(pixels))
    assert set(content["models"]) == {"G", "C"}


@pytest.mark.parametrize(
    "name", ["dmsrl", "dmsrl[local=corners,mi=TwoBranchMI]", "mcd", "symnets", "gvb", "cdan_dmsrl"]
)
def test_a_model_from_its_file_predicts_what_the_trained_one_does(name: str, tmp_path: Path) -> None:
    labels = torch.arange(16) % 2
    images = torch.randint(256, (16, 3, 12, 12)).byte()
    task = Task("noise", ("a", "b"), Split(images, labels), *(Split(images, labels) for _ in range(3)))
    outcome = train(task, get_method(name), 0, PLAN)
    write_model(tmp_path / "m.pt", outcome, task, OWN, get_method(name), 0, PLAN)
    model = read_model(tmp_path / "m.pt")
    assert model.classes == ("a", "b") and model.size == 12 and not model.is_frozen
    assert torch.equal(model.class_probs(images), infer(outcome.adapter, images, 1)["preds"])
    with pytest.raises(ValueError, match=r"takes inputs of shape \(3, 12, 12\), got \(3, 8, 8\)"):
        model.class_probs(images[..., :8, :8])


def test_a_model_on_frozen_features_has_them_computed(
    monkeypatch: pytest.MonkeyPatch, vectors: Task, tmp_path: Path
) -> None:
    method = get_method("source_only")
    outcome = train(vectors, method, 0, PLAN)
    write_model(tmp_path / "m.pt", outcome, vectors, replace(OWN, network="frozen"), method, 0, PLAN)
    monkeypatch.setattr(model_file, "frozen_features", lambda images: images.flatten(1)[:, :6].float())
    images = torch.randint(256, (5, 3, 12, 12)).byte()
    probs = read_model(tmp_path / "m.pt").class_probs(images)
    assert torch.equal(probs, infer(outcome.adapter, images.flatten(1)[:, :6].float(), 1)["preds"])


def test_images_are_read_in_parts_and_keep_their_order(monkeypatch: pytest.MonkeyPatch, photos: Path) -> None:
    monkeypatch.setattr(predictions, "AT_A_TIME", 5)
    sizes = []

    def class_probs(images: torch.Tensor) -> torch.Tensor:
        sizes.append(len(images))
        # the left half is bright
        score = images[..., :4].float().mean((1, 2, 3)) - images[..., :4, :].float().mean((1, 2, 3))
        return torch.stack([-score, score], 1).softmax(1)

    samples = open_data(photos / "third", labelled=False, size=16)
    model = SimpleNamespace(size=8, classes=("sky", "wall"), class_probs=class_probs)
    found = predict(model, samples, photos / "third")
    assert sizes == [5, 5, 3]
    assert [one.file for one in found] == sorted(one.file for one in found)
    assert all(one.label in str(one.file.relative_to(photos)) for one in found)


def torn(content: bytes) -> bytes:
    return content[: len(content) // 2]


def flipped(content: bytes) -> bytes:
    """One bit of a weight, in the middle of the file, turned."""
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


@pytest.mark.parametrize("spoil", [torn, flipped, lambda content: b"", lambda content: b"not a model"])
def test_a_damaged_model_file_is_one_error_that_names_it(
    spoil: object, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "m.pt").write_bytes(spoil(model.read_bytes()))
    assert main(["predict", str(tmp_path / "m.pt"), str(tmp_path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {tmp_path / 'm.pt'} cannot be read as a model file: ")


def foreign(content: dict[str, object]) -> object:
    return {"state_dict": {"weight": torch.zeros(3)}}


def other_form(content: dict[str, object]) -> object:
    return {**content, "format": "dmsrl_adapt model, form 99"}


@pytest.mark.parametrize("change", [foreign, other_form, lambda content: [1, 2]])
def test_a_foreign_file_is_one_error_that_says_what_is_wanted(
    change: object, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save(change(torch.load(model, weights_only=True)), tmp_path / "m.pt")
    assert main(["predict", str(tmp_path / "m.pt"), str(tmp_path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert (
        f"{tmp_path / 'm.pt'} must be a model file (dmsrl_adapt model, form 1) of `python -m benchmarks train`" in line
    )


@pytest.mark.parametrize("lacking", ["models", "setup", "method", "classes"])
def test_a_model_file_that_lacks_a_part_is_one_error(lacking: str, model: Path, tmp_path: Path) -> None:
    content = torch.load(model, weights_only=True)
    torch.save({key: value for key, value in content.items() if key != lacking}, tmp_path / "m.pt")
    with pytest.raises(ValueError, match=r"m.pt does not fit this code, it was made by commit"):
        read_model(tmp_path / "m.pt")


def test_code_in_a_file_does_not_run(tmp_path: Path) -> None:
    torch.save({"format": model_file.FORMAT, "models": zipfile.ZipFile}, tmp_path / "m.pt")
    with pytest.raises(ValueError, match=r"m.pt cannot be read as a model file: Weights only load failed"):
        read_model(tmp_path / "m.pt")


def test_wrong_paths_are_one_error(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    for arguments, told in (
        (["predict", str(tmp_path / "none.pt"), str(tmp_path)], "none.pt cannot be read as a model file: [Errno 2]"),
        (["predict", str(model), str(tmp_path / "empty")], "empty must hold images; it holds none"),
        (["predict", str(model), str(tmp_path / "nowhere")], "nowhere must be a folder with images, an image, a table"),
        (["train", "--source", str(tmp_path / "empty")], "--source and --target must be given together"),
        (["train", "--source", str(tmp_path / "empty"), "--target", str(tmp_path)], "empty must hold images"),
    ):
        assert main(arguments) == 2
        assert told in capsys.readouterr().err.splitlines()[-1]

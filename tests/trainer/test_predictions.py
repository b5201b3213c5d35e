"""The table of predictions, the contact sheet, the model file, and how images become inputs."""

import csv
import random
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dmsrl_adapt import Model
from dmsrl_adapt.cli import main
from dmsrl_adapt.data import DataError, open_data
from dmsrl_adapt.trainer import Predictions
from dmsrl_adapt.trainer.contact_sheet import draw_sheet, extremes
from dmsrl_adapt.trainer.predictions import sheet_path
from dmsrl_adapt.trainer.preprocessing import Preprocessing

from .conftest import photo


def test_the_sheet_shows_images_most_and_least_certain_first(photos: Path, tmp_path: Path) -> None:
    samples = open_data(photos / "field", False)
    confidences = torch.arange(40) / 40
    order = random.Random(0).sample(range(40), 40)
    found = Predictions(samples, ("$x", "y"))
    probs = torch.stack([0.5 + confidences[order] / 2, 0.5 - confidences[order] / 2], 1)
    found.add(torch.arange(40), torch.zeros(40, dtype=torch.int64), probs)
    most, least = extremes(found.confidence)
    assert [order[row] for row in most] == list(range(39, 23, -1))
    assert [order[row] for row in least] == list(range(16))
    assert [len(half) for half in extremes(found.confidence[:3])] == [1, 1]
    sheet = np.asarray(Image.open(draw_sheet(found, tmp_path / "new" / "sheet.png")).convert("L"))
    for half in np.array_split(sheet, 2):
        # images cover a good part of both halves
        assert (half < 250).mean() > 0.3


def test_table_as_rows_columns_csv_and_parquet(photos: Path, trained: Path, tmp_path: Path) -> None:
    found = Model.load(trained / "model.pt").predict(photos / "third", tmp_path / "a.csv")
    with (tmp_path / "a.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["file"] for row in rows] == found["file"] and [row["label"] for row in rows] == found["label"]
    assert found.counts == {"sky": 6, "wall": 7} and len(found) == 13
    assert next(iter(found)).keys() == {"file", "label", "confidence"}
    with pytest.raises(KeyError, match="a column must be one of"):
        found["probability"]
    parquet = pytest.importorskip("pyarrow.parquet")
    found.write(tmp_path / "b.parquet")
    assert parquet.read_table(tmp_path / "b.parquet").to_pydict()["label"] == found["label"]


def test_unreadable_images_have_no_row_and_are_told(
    photos: Path, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "some").mkdir()
    for number in range(5):
        photo("sky", (40, 40)).save(tmp_path / "some" / f"{number}.png")
    (tmp_path / "some" / "3.png").write_bytes(b"no image")
    out = ["--out", str(tmp_path / "labels.csv"), "--workers", "0"]
    assert main(["predict", str(trained / "model.pt"), str(tmp_path / "some"), *out]) == 0
    printed = capsys.readouterr()
    assert "note: 3.png is left out: " in printed.err and printed.out.splitlines()[-1].split() == ["sky", "4"]


def test_table_and_sheet_are_two_files_and_none_of_the_images(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ("a.csv", "a.parquet", "a.png", "run.1", "a")
    assert [sheet_path(Path(name)).name for name in names] == ["a.png", "a.png", "a.png.png", "run.1.png", "a.png"]
    (tmp_path / "new").mkdir()
    image = tmp_path / "new" / "first.png"
    photo("sky", (40, 40)).save(image)
    for out in (image, image.with_suffix(".csv")):
        assert main(["predict", str(trained / "model.pt"), str(image.parent), "--out", str(out)]) == 2
        assert f"{image} is one of the inputs and would be written over" in capsys.readouterr().err
    assert [path.name for path in image.parent.iterdir()] == ["first.png"]


def test_arrays_are_labelled_and_other_shapes_and_kinds_refused(trained: Path) -> None:
    model = Model.load(trained / "model.pt")
    images = np.stack([np.asarray(photo(label, (40, 40))) for label in ("sky", "wall")])
    assert model.predict(images)["label"] == ["sky", "wall"]
    with pytest.raises(DataError):
        model.predict(np.zeros((3, 8), np.float32))


def test_an_image_keeps_its_aspect_and_loses_only_its_sides() -> None:
    column = torch.linspace(0, 255, 100).byte()
    wide = column.view(1, 1, 100).expand(3, 40, 100)
    inputs = Preprocessing("image", (3, 20, 20), crop=1.0)
    prepared = inputs.prepare(wide, "wide")
    assert prepared.shape == (3, 20, 20) and prepared.dtype == torch.uint8
    # 40 x 100 becomes 20 x 50, of which the 20 columns in the middle are those of 30 to 70
    assert int(prepared[0, 0, 0]) == pytest.approx(int(column[31]), abs=4)
    assert int(prepared[0, 0, -1]) == pytest.approx(int(column[69]), abs=4)
    for shape in ((3, 7, 300), (3, 300, 7), (3, 21, 20), (3, 19, 333)):
        assert inputs.prepare(torch.zeros(shape, dtype=torch.uint8), "odd").shape == (3, 20, 20)
    rectangle = Preprocessing("image", (3, 24, 40), crop=0.875)
    assert rectangle.resized == (27, 46) and rectangle.decoded == 46
    assert rectangle.prepare(wide, "wide").shape == (3, 24, 40)
    assert Preprocessing.from_dict(rectangle.as_dict()) == rectangle
    torch.testing.assert_close(
        inputs.normalise(torch.tensor([0, 255]).byte().view(2, 1, 1, 1)).flatten(1)[:, 0], torch.tensor([-1.0, 1.0])
    )


def test_a_damaged_model_file_is_one_error_that_names_it(trained: Path, tmp_path: Path) -> None:
    whole = (trained / "model.pt").read_bytes()
    for content in (b"", whole[:1000], whole[:-10], b"x" * 100):
        (tmp_path / "m.pt").write_bytes(content)
        with pytest.raises(ValueError, match=r"m\.pt cannot be read as a model file"):
            Model.load(tmp_path / "m.pt")
    torch.save({"format": "other"}, tmp_path / "m.pt")
    with pytest.raises(ValueError, match="must be a model file"):
        Model.load(tmp_path / "m.pt")
    torch.save({"models": zipfile.ZipFile}, tmp_path / "m.pt")
    with pytest.raises(ValueError, match="cannot be read as a model file"):
        Model.load(tmp_path / "m.pt")


@pytest.mark.parametrize("lacking", ["classes", "preprocessing", "network", "confidence", "models", "examples"])
def test_a_model_file_that_lacks_a_part_is_one_error(lacking: str, trained: Path, tmp_path: Path) -> None:
    content = torch.load(trained / "model.pt", weights_only=True)
    del content[lacking]
    torch.save(content, tmp_path / "m.pt")
    with pytest.raises(ValueError, match=r"does not fit this code, it was made by \{'python'"):
        Model.load(tmp_path / "m.pt")

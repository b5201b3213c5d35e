"""Everything that is no folder: arrays, .npz files, tables, data sets of torch and of Hugging Face."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import ConcatDataset, DataLoader, Dataset, IterableDataset, Subset, TensorDataset

from dmsrl_adapt.data import DataError, Samples, open_data
from dmsrl_adapt.data.fingerprint import fingerprint

from ..conftest import encode

RAMP = np.linspace(0, 1, 64).reshape(8, 8)


def stacked(samples: Samples) -> torch.Tensor:
    return torch.stack([samples[index] for index in range(len(samples))])


def random(*shape: int, dtype: str = "float64") -> np.ndarray:
    values = np.random.default_rng(0).random(shape)
    return (255 * values).astype(dtype) if dtype == "uint8" else values.astype(dtype)


@pytest.mark.parametrize(
    ("values", "kind", "shape"),
    [
        (random(4, 3), "vector", (3,)),
        (np.arange(12, dtype=">i2").reshape(4, 3), "vector", (3,)),
        (torch.rand(4, 3, dtype=torch.bfloat16).half(), "vector", (3,)),
        (random(4, 2, 50, dtype="float16"), "signal", (2, 50)),
        (random(4, 22, 1, 100), "tensor", (22, 1, 100)),
        (random(4, 3, 8, 9), "tensor", (3, 8, 9)),
        (random(4, 8, 9, 3, dtype="uint8"), "image", (3, 8, 9)),
        (random(4, 3, 8, 9, dtype="uint8"), "image", (3, 8, 9)),
        (random(4, 1, 8, 9, dtype="uint8"), "image", (3, 8, 9)),
    ],
)
def test_axes_and_type_tell_the_kind(values: Any, kind: str, shape: tuple[int, ...]) -> None:
    samples = open_data(values)
    assert samples.kind == kind and samples[1].shape == shape
    assert samples[1].dtype == (torch.uint8 if kind == "image" else torch.float32)
    if kind != "image":
        torch.testing.assert_close(stacked(samples), torch.as_tensor(np.asarray(values, np.float32)))


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (random(4, 8, 9, 3), 'channels are last; say kind="image" if it holds photographs, or put channels first'),
        (random(4, 8, 8, dtype="uint8"), 'grey images or signals; say which by kind="image" or kind="signal"'),
        (random(4), "two axes .vectors., three .signals. or four"),
        (random(4, 2, 3, 4, 5), "two axes"),
        (random(4, 3, 8, 3, dtype="uint8"), "whether channels are first or last cannot be told"),
        (random(4, 5, 8, 8, dtype="uint8"), r"C 1, 3 or 4, got \(4, 5, 8, 8\)"),
        (random(4, 3) + 1j, "must hold real numbers, got .* of complex128"),
        (np.array([["a", "b"]]), "must hold real numbers"),
        (([[1.0], [1.0, 2.0]], [0, 1]), "X of the given arrays cannot be read as an array"),
        (np.zeros((0, 3)), "at least one sample"),
        (np.zeros((3, 0)), r"must have shape \(N, D\) of the kind 'vector', got \(3, 0\)"),
        (np.array([[1.0, 2.0], [np.nan, 0.0]]), "must be finite, it holds NaN or infinite values, such as in row 1"),
        (np.full((3, 2, 9), np.inf), "such as in row 0"),
        (np.array([[1e300, 0.0]]), "NaN or infinite values"),
    ],
)
def test_arrays_that_cannot_be_told_or_used_are_refused(values: np.ndarray, told: str) -> None:
    with pytest.raises(DataError, match=told):
        open_data(values)


def test_the_user_says_what_the_array_does_not() -> None:
    assert open_data(random(4, 8, 9, 3), kind="tensor")[0].shape == (8, 9, 3)
    assert open_data(random(4, 8, 9, 3), kind="image")[0].shape == (3, 8, 9)
    assert open_data(random(4, 8, 9, dtype="uint8"), kind="signal")[0].shape == (8, 9)
    assert open_data(random(4, 50), kind="signal")[0].shape == (1, 50)
    for values, kind in ((random(4, 8, 9), "vector"), (random(4, 8), "tensor"), (random(4, 8), "image")):
        with pytest.raises(DataError, match="must have shape"):
            open_data(values, kind=kind)
    with pytest.raises(DataError, match="kind must be one of image, vector, signal, tensor, got 'photo'"):
        open_data(random(4, 8), kind="photo")
    with pytest.raises(DataError, match="size must be at least 1 pixel, got 0"):
        open_data(random(4, 8), size=0)


@pytest.mark.parametrize(
    ("scale", "shift", "dtype"),
    [
        (255, 0, "uint8"),
        (1, 0, "float32"),
        (255, 0, "float64"),
        (2, -1, "float32"),
        (65535, 0, "uint16"),
        (4095, 0, "uint16"),
        (4095, 0, "int64"),
        (1, 0, "float16"),
    ],
)
def test_images_of_any_range_show_their_picture(scale: float, shift: float, dtype: str) -> None:
    images = np.stack([RAMP, RAMP / 4]) * scale + shift
    read = stacked(open_data({"images": images.astype(dtype)}))
    assert (read[:, :1] == read).all()
    # one range for all: the second stays dark
    assert np.abs(read[:, 0].numpy() - 255 * np.stack([RAMP, RAMP / 4])).max() <= (64 if shift else 2)


def test_masks_and_transparent_arrays_are_seen() -> None:
    assert stacked(open_data({"images": np.stack([RAMP > 0.5, RAMP > 2])})).unique().tolist() == [0, 255]
    ink = np.zeros((2, 8, 8, 4), np.uint8)
    ink[:, 2:4, 2:4, 3] = 255
    assert stacked(open_data({"images": ink}))[0, 0, 2].tolist() == [255, 255, 0, 0, 255, 255, 255, 255]


def test_labels_come_as_numbers_with_gaps_names_or_columns() -> None:
    def labels(values: Any, **more: Any) -> tuple[list[int], tuple[str, ...] | None]:
        samples = open_data({"X": random(3, 2), "y": values, **more})
        return samples.labels.tolist(), samples.classes

    assert labels([0, 1000, 7]) == ([0, 2, 1], ("0", "7", "1000"))
    assert labels([1, 2, 3]) == labels(torch.tensor([[1.0], [2.0], [3.0]])) == ([0, 1, 2], ("1", "2", "3"))
    assert labels(["dog", "cat", "dog"]) == labels(np.array(["dog ", "cat", "dog"])) == ([1, 0, 1], ("cat", "dog"))
    assert labels(["10", "9", "10"]) == ([1, 0, 1], ("9", "10"))
    assert labels([2, 0, 2], classes=["a", "b", "c"]) == ([2, 0, 2], ("a", "b", "c"))
    assert labels(np.array([True, False, True])) == ([1, 0, 1], ("0", "1"))
    for wrong, told in (
        ([0, 1], r"must be 3 integers or texts, got \(2,\) of int64"),
        ([0.5, 1, 2], "got fractions, NaN or infinite values"),
        ([np.nan, 1, 2], "got fractions, NaN"),
        ([-1, 0, 1], "at least 0, got values from -1 to 1"),
        (np.eye(3), r"got \(3, 3\)"),
        (["a", " ", "b"], "1 of them are empty, such as that of row 1"),
        ([None, "a", "b"], "of object"),
        ([[0], [1, 2], [1]], "must be 3 integers or texts"),
    ):
        with pytest.raises(DataError, match=told):
            labels(wrong)
    with pytest.raises(DataError, match=r"in 0..1, for 2 classes, got values from 0 to 2"):
        labels([0, 1, 2], classes=["a", "b"])
    assert open_data((random(3, 2), [0, 1, 0])).labels.tolist() == [0, 1, 0]
    assert open_data((random(3, 2), [0, 1, 0]), labelled=False).labels is None
    assert open_data((random(3, 2), None)).labels is None
    with pytest.raises(DataError, match="must have labels"):
        open_data(random(3, 2), labelled=True)


def test_an_npz_holds_images_encoded_images_or_rows(pixels: np.ndarray, labels: np.ndarray, tmp_path: Path) -> None:
    files = [encode(image) for image in pixels]
    content, offsets = np.frombuffer(b"".join(files), dtype=np.uint8), np.cumsum([0, *map(len, files)])
    np.savez(tmp_path / "encoded.npz", jpeg_bytes=content, offsets=offsets, labels=labels, classes=["dark", "bright"])
    np.savez(tmp_path / "plain.npz", images=pixels, y=labels)
    read = [open_data(tmp_path / name) for name in ("encoded.npz", "plain.npz")]
    for samples in read:
        assert samples.kind == "image" and torch.equal(stacked(samples), torch.tensor(pixels).permute(0, 3, 1, 2))
        assert samples.labels.tolist() == labels.tolist() and samples.names[17] == "row 17"
    assert read[0].classes == ("dark", "bright") and read[1].classes == ("0", "1")
    np.save(tmp_path / "rows.npy", random(5, 4))
    assert open_data(str(tmp_path / "rows.npy")).kind == "vector"


def test_other_keys_are_named_and_may_be_chosen(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, train_images=random(3, 8, 8, 3, dtype="uint8"), train_labels=[0, 1, 0], X=random(3, 2))
    samples = open_data(path, input_column="train_images", label_column="train_labels")
    assert samples.kind == "image" and samples.labels.tolist() == [0, 1, 0]
    np.savez(path, train_images=random(3, 8, 8, 3, dtype="uint8"), train_labels=[0, 1, 0])
    keys = r"\['train_images', 'train_labels'\]"
    with pytest.raises(DataError, match=rf"must hold images, or jpeg_bytes and offsets, or X, got {keys}; name"):
        open_data(path)
    with pytest.raises(DataError, match=rf"must hold val_images, got {keys}"):
        open_data(path, input_column="val_images")
    with pytest.raises(DataError, match=rf"must hold val_labels, got {keys}"):
        open_data(path, input_column="train_images", label_column="val_labels")
    with pytest.raises(DataError, match=rf"must have labels, under `labels` or `y`, got {keys}"):
        open_data(path, labelled=True, input_column="train_images")


@pytest.mark.parametrize(
    "offsets",
    [[0, 5, 3], [0, 9], [-1, 3], [[0, 3]], [0.0, 3.0], []],
    ids=["falling", "far", "low", "2d", "float", "none"],
)
def test_offsets_that_do_not_fit_the_bytes_are_refused(offsets: Any) -> None:
    with pytest.raises(DataError, match=r"jpeg_bytes of the given mapping must be uint8 \(B,\) and offsets"):
        open_data({"jpeg_bytes": np.zeros(8, np.uint8), "offsets": np.array(offsets)})


@pytest.mark.parametrize("name", ["a.npz", "a.npy", "a.csv", "a.parquet"])
def test_a_file_of_other_content_is_one_error_that_names_it(name: str, tmp_path: Path) -> None:
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow")
    for content in (b"", b"\xff\xfe nothing", bytes(range(256)) * 20):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match=name):
            open_data(tmp_path / name)
    np.savez(tmp_path / "pickle.npz", X=np.array([{}], dtype=object))
    with pytest.raises(DataError, match=r"pickle.npz"):
        open_data(tmp_path / "pickle.npz")


@pytest.mark.parametrize(
    ("content", "classes", "numbers"),
    [
        ("path,label\nbright/12.png,lit\ndark/0.png,unlit\n", ("lit", "unlit"), [0, 1]),
        ("Label;File\nlit;bright/12.png\n\nunlit;dark/0.png\n", ("lit", "unlit"), [0, 1]),
        ("\ufeffspecies\twhere\n1000\tbright/12.png\n7\tdark/0.png\n", ("7", "1000"), [1, 0]),
        ("bright/12.png, 3\ndark/0.png, 1\n", ("1", "3"), [1, 0]),
        ('file,label,notes\n"bright/12.png","a, b",x\ndark\\0.png,c,y\n', ("a, b", "c"), [0, 1]),
        ("file,confidence,size\nbright/12.png,0.5,1\ndark/0.png,0.1,2\n", None, None),
        ("path,label\nbright/12.png,\ndark/0.png,\n", None, None),
    ],
)
def test_a_table_lists_paths_and_labels(
    content: str, classes: tuple[str, ...] | None, numbers: list[int] | None, class_folders: Path
) -> None:
    (class_folders / "table.csv").write_text(content, encoding="utf-8")
    samples = open_data(class_folders / "table.csv")
    assert list(samples.names) == ["bright/12.png", "dark/0.png"] and samples.classes == classes
    assert (None if samples.labels is None else samples.labels.tolist()) == numbers
    tones = stacked(samples).float().mean((1, 2, 3))
    assert tones[0] > 150 > tones[1]


def test_a_table_without_the_columns_or_the_files_is_refused(class_folders: Path, tmp_path: Path) -> None:
    table = class_folders / "table.csv"

    def fails(content: str, told: str, **how: Any) -> None:
        table.write_text(content)
        with pytest.raises(DataError, match=told):
            open_data(table, **how)

    fails(
        "where,what\na,b\n", r"must have a column of image files; name it as input_column, it has .*\['where', 'what'\]"
    )
    fails("path,label\n", "must have rows")
    fails("", "must have rows, it is empty")
    fails("path,label\ndark/0.png\n", "row 0 of .*table.csv must have 2 columns, it has 1")
    fails("path,label\ndark/0.png,\ndark/1.png,a\n", "1 of them are empty, such as that of row 0")
    fails("path,label\ndark/0.png,a\n", r"must have a column 'kind', it has \['path', 'label'\]", label_column="kind")
    fails(
        "path,a,b\ndark/0.png,1,2\n",
        "must have labels: a table with a column of them; name it as label_column",
        labelled=True,
    )
    fails("path,label\ndark/0.png,\n", "must have labels: a table", labelled=True)
    fails("path,label\n" + "gone.png,a\n" * 4 + "dark/0.png,b\n", r"4 of the 5 files .*'gone.png' \(below .*photos\)")
    table.write_text("path,label\ngone.png,a\ndark/0.png,b\ndark/1.png,c\ndark/notes.txt,d\n")
    samples = open_data(table)
    assert samples.left_out == [("gone.png", "is not there"), ("dark/notes.txt", "no image")]
    assert samples.classes == ("b", "c") and samples.labels.tolist() == [0, 1]
    absolute = tmp_path / "elsewhere.csv"
    absolute.write_text(f"path,kind,more\n{class_folders / 'dark' / '0.png'},a,b\n")
    assert open_data(absolute, label_column="more").classes == ("b",)
    before = fingerprint(absolute)
    Image.new("RGB", (9, 9)).save(class_folders / "dark" / "0.png")
    assert fingerprint(absolute) != before


def test_parquet_holds_paths_or_the_images_themselves(class_folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    paths = ["bright/12.png", "dark/0.png"]
    parquet.write_table(pa.table({"path": paths, "label": [7, 0]}), class_folders / "a.parquet")
    files = [(class_folders / path).read_bytes() for path in paths]
    columns = {"image": [{"bytes": file, "path": None} for file in files], "label": ["b", "a"]}
    parquet.write_table(pa.table(columns), class_folders / "b.parquet")
    read = [open_data(class_folders / name) for name in ("a.parquet", "b.parquet")]
    assert torch.equal(stacked(read[0]), stacked(read[1]))
    assert [samples.classes for samples in read] == [("0", "7"), ("a", "b")]
    assert [samples.labels.tolist() for samples in read] == [[1, 0], [1, 0]]
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(ImportError, match="Parquet needs a package: `pip install pyarrow`"):
        open_data(class_folders / "a.parquet")


def test_a_table_of_pandas_lists_whole_paths(class_folders: Path) -> None:
    pandas = pytest.importorskip("pandas")
    files = [class_folders / path for path in ("bright/12.png", "dark/0.png")]
    samples = open_data(pandas.DataFrame({"path": files, "label": [3, 1]}))
    assert samples.labels.tolist() == [1, 0] and list(samples.names) == list(map(str, files))
    assert samples[0].float().mean() > 150


class Pictures(Dataset[Any]):
    """As torchvision's data sets: pictures, with or without a list of all labels."""

    def __init__(self, targets: list[int] | None = None, **more: Any) -> None:
        self.reads = 0
        if targets is not None:
            self.targets = targets
        vars(self).update(more)

    def __len__(self) -> int:
        return 6

    def __getitem__(self, row: int) -> tuple[Image.Image, int]:
        self.reads += 1
        if row >= 6:
            raise IndexError(row)
        return Image.new("L", (9, 7), 10 * row), row % 2


def test_pictures_of_a_torch_data_set_are_read_by_row() -> None:
    data = Pictures()
    samples = open_data(data)
    assert samples.kind == "image" and samples.labels.tolist() == [0, 1] * 3 and samples.classes == ("0", "1")
    assert samples[3].shape == (3, 7, 9) and int(samples[3].unique()) == 30 and samples.names[3] == "row 3"
    named = Pictures([0, 1] * 3, classes=["cat", "dog", "eel"])
    samples = open_data(named)
    assert named.reads < 20 and samples.classes == ("cat", "dog", "eel") and samples.labels.tolist() == [0, 1] * 3
    # targets that the items do not follow, as with a target_transform
    assert open_data(Pictures([1, 0] * 3)).labels.tolist() == [0, 1] * 3
    subset = open_data(Subset(named, [5, 4]))
    assert subset.labels.tolist() == [1, 0] and int(subset[0].unique()) == 50
    assert open_data(ConcatDataset([named, named])).labels.tolist() == [0, 1] * 6
    loader = DataLoader(named, batch_size=2, shuffle=True, collate_fn=lambda items: tuple(zip(*items, strict=True)))
    assert open_data(loader).labels.tolist() == [0, 1] * 3


def test_items_may_be_dicts_arrays_or_inputs_alone() -> None:
    listed = [{"img": Image.new("RGB", (4, 4)), "Label": name, "id": 3} for name in ("dog", "cat")]
    assert open_data(listed).classes == ("cat", "dog") and open_data(listed)[0].shape == (3, 4, 4)
    with pytest.raises(DataError, match=r"has the keys \['a', 'b'\]; name that of the input as input_column"):
        open_data([{"a": 1, "b": 2}])
    assert open_data([{"a": np.zeros(5), "b": 2}], input_column="a", label_column="b").classes == ("2",)
    vectors = TensorDataset(torch.rand(5, 3), torch.arange(5) % 2)
    assert open_data(vectors).kind == "vector" and open_data(vectors).labels.tolist() == [0, 1, 0, 1, 0]
    alone = TensorDataset(torch.rand(5, 2, 40))
    assert open_data(alone).kind == "signal" and open_data(alone).labels is None
    with pytest.raises(DataError, match=r"must have labels: items \(input, label\), or dicts"):
        open_data(alone, labelled=True)
    with pytest.raises(DataError, match="must be a picture, an array or a tensor, got dict"):
        open_data([({}, 1)])


def test_floats_of_a_data_set_are_images_only_if_the_user_says_so() -> None:
    photos = TensorDataset(torch.rand(5, 3, 8, 8), torch.arange(5))
    assert open_data(photos).kind == "tensor" and torch.equal(open_data(photos)[2], photos[2][0])
    samples = open_data(photos, kind="image")
    torch.testing.assert_close(samples[2] / 255, photos[2][0], rtol=0, atol=0.6 / 255)
    normalised = TensorDataset(torch.randn(5, 3, 8, 8), torch.arange(5))
    with pytest.raises(DataError, match=r"values in 0..1 or 0..255 as an image, without Normalize, got -"):
        open_data(normalised, kind="image")


def test_streams_and_empty_data_sets_are_refused() -> None:
    class Stream(IterableDataset[int]):
        def __iter__(self) -> Any:
            return iter(range(3))

    for stream in (Stream(), DataLoader(Stream())):
        with pytest.raises(DataError, match="Stream is a stream, which has no rows to draw from"):
            open_data(stream)
    with pytest.raises(DataError, match="at least one sample"):
        open_data(TensorDataset(torch.rand(0, 3), torch.rand(0)))


def test_open_samples_stay_what_they_are() -> None:
    samples = open_data((random(3, 2), [0, 1, 0]))
    assert open_data(samples) is samples
    assert open_data(samples, labelled=False).labels is None and open_data(samples, size=8).size == 8
    with pytest.raises(DataError, match="must have labels"):
        open_data(samples.unlabelled(), labelled=True)


@pytest.fixture
def hugging() -> Any:
    """The library `datasets`; the test is skipped without it."""
    return pytest.importorskip("datasets")


def pictures(hugging: Any, **columns: Any) -> Any:
    """A data set of three pictures, of which the last is deep grey."""
    images = [Image.new("RGB", (8, 6), color) for color in ("red", "blue")]
    deep = Image.fromarray((4095 * RAMP).astype(np.uint16))
    features = {name: feature for name, (_, feature) in columns.items()}
    data = {"picture": [*images, deep], **{name: values for name, (values, _) in columns.items()}}
    return hugging.Dataset.from_dict(data, features=hugging.Features({"picture": hugging.Image(), **features}))


def test_columns_of_hugging_face_are_known_by_their_type(hugging: Any) -> None:
    data = pictures(
        hugging,
        what=([1, 0, 1], hugging.ClassLabel(names=["cat", "dog"])),
        label=([5, 6, 7], hugging.Value("int64")),
    )
    samples = open_data(data)
    assert samples.kind == "image" and samples.classes == ("cat", "dog") and samples.labels.tolist() == [1, 0, 1]
    assert samples[1].shape == (3, 6, 8) and samples[1][:, 0, 0].tolist() == [0, 0, 255]
    assert samples[2].max() == 255 and samples[2].min() == 0
    assert open_data(data, label_column="label").classes == ("5", "6", "7")
    turned = data.select([2, 0]).with_format("torch")
    assert open_data(turned).labels.tolist() == [1, 1] and open_data(turned)[1][:, 0, 0].tolist() == [255, 0, 0]
    loader = DataLoader(samples, num_workers=1, batch_size=None)
    assert [image.shape[1] for image in loader] == [6, 6, 8]


def test_hugging_face_without_clear_columns_is_refused(hugging: Any) -> None:
    names = hugging.ClassLabel(names=["a", "b"])
    two = pictures(hugging, fine=([0, 1, 1], names), coarse=([0, 0, 1], names))
    with pytest.raises(DataError, match=r"has several columns of labels, \['fine', 'coarse'\]; name one as label_col"):
        open_data(two)
    assert open_data(two, label_column="coarse").labels.tolist() == [0, 0, 1]
    with pytest.raises(DataError, match=r"has the parts \['train'\]; give one, such as data\['train'\]"):
        open_data(hugging.DatasetDict({"train": two}))
    with pytest.raises(DataError, match="is a stream, which has no rows to draw from"):
        open_data(two.to_iterable_dataset())
    with pytest.raises(DataError, match=r"has the columns \['fine', 'coarse'\]; name the one of the inputs"):
        open_data(two.remove_columns("picture"))
    unknown = pictures(hugging, label=([-1, -1, -1], names))
    assert open_data(unknown).labels is None
    with pytest.raises(DataError, match="must have labels"):
        open_data(unknown, labelled=True)
    lacking = pictures(hugging).add_column("label", ["a", "b", None])
    with pytest.raises(DataError, match="labels of column label of the Hugging Face data set must be 3 integers or"):
        open_data(lacking)


def test_vectors_and_signals_of_hugging_face(hugging: Any) -> None:
    data = hugging.Dataset.from_dict({"x": random(4, 3).tolist(), "wave": random(4, 2, 9).tolist(), "y": list("abab")})
    samples = open_data(data, input_column="x")
    assert samples.kind == "vector" and samples.labels.tolist() == [0, 1, 0, 1]
    assert open_data(data, input_column="wave")[0].shape == (2, 9)


def test_an_encoded_image_that_is_torn_is_left_out_by_its_row(hugging: Any) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (50, 50), "red").save(buffer, "JPEG")
    files = [{"bytes": buffer.getvalue()[:size], "path": None} for size in (None, 100)]
    data = hugging.Dataset.from_dict({"image": files}, features=hugging.Features({"image": hugging.Image()}))
    samples = open_data(data)
    assert samples.get(0) is not None and samples.get(1) is None
    ((name, reason),) = samples.left_out
    assert name == "row 1" and reason.startswith("row 1 of the Hugging Face data set cannot be read as an image")

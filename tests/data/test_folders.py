"""Folders: what is listed, read, left out and fingerprinted, and which folders are classes."""

import os
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor

from dmsrl_adapt.data import DataError, Samples, UnreadableError, files, open_data
from dmsrl_adapt.data import decode as decoding
from dmsrl_adapt.data.fingerprint import fingerprint

from .test_pixels import heic


def stacked(samples: Samples) -> Tensor:
    return torch.stack([samples[index] for index in range(len(samples))])


def left_out(folder: Path) -> list[str]:
    return [os.path.basename(name) for name, _ in open_data(folder).left_out]


def test_heic_is_read_like_any_image_and_refused_where_it_is_damaged_or_too_large(
    monkeypatch: pytest.MonkeyPatch, class_folders: Path
) -> None:
    content = heic(Image.new("RGB", (64, 48), "red"))
    (class_folders / "dark" / "IMG_0001.HEIC").write_bytes(content)
    samples = open_data(class_folders)
    assert len(samples) == 25 and left_out(class_folders) == ["notes.txt"]
    red = samples[list(samples.names).index("dark/IMG_0001.HEIC")]
    assert red.shape == (3, 48, 64) and red[0].float().mean() > 240 and red[1].float().mean() < 5
    with pytest.raises(UnreadableError, match=r"torn\.heic cannot be read as an image"):
        decoding.decode(content[: len(content) // 2], "torn.heic")
    monkeypatch.setattr(decoding, "MOST_PIXELS", 64 * 48 - 1)
    with pytest.raises(UnreadableError, match=r"a\.heic cannot be read as an image: .* 64 x 48"):
        decoding.decode(content, "a.heic")


def test_heic_is_left_out_where_pillow_heif_is_missing_and_counts_as_a_change_once_it_is_there(
    monkeypatch: pytest.MonkeyPatch, flat_folder: Path
) -> None:
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "pillow_heif", None)
        assert not decoding.register_heif()
    monkeypatch.setattr(files, "HAS_HEIF", False)
    before = fingerprint(flat_folder)
    (flat_folder / "IMG_0001.HEIC").write_bytes(b"as a phone writes it")
    assert open_data(flat_folder).left_out == [("IMG_0001.HEIC", "needs: pip install pillow-heif")]
    assert fingerprint(flat_folder) == before
    monkeypatch.setattr(files, "HAS_HEIF", True)
    assert open_data(flat_folder).left_out == []
    assert fingerprint(flat_folder) != before


def test_a_folder_without_class_folders_that_hold_images_is_flat(flat_folder: Path) -> None:
    (flat_folder / "empty").mkdir()
    (flat_folder / ".thumbnails").mkdir()
    Image.new("RGB", (8, 8)).save(flat_folder / ".thumbnails" / "0.png")
    (flat_folder / "notes.txt").write_text("not an image")
    samples = open_data(flat_folder)
    assert len(samples) == 24 and samples.labels is None and samples.classes is None
    assert samples.left_out == [("notes.txt", "no image")]


def test_labels_are_taken_required_or_left_out(class_folders: Path, flat_folder: Path) -> None:
    labelled = open_data(class_folders, labelled=True)
    assert labelled.classes == ("bright", "dark") and labelled.labels.tolist() == [0] * 12 + [1] * 12
    blind = open_data(class_folders, labelled=False)
    assert blind.labels is None and list(blind.names) == list(labelled.names)
    with pytest.raises(DataError, match=r"field must have labels: class folders with images, it has images right in"):
        open_data(flat_folder, labelled=True)
    with pytest.raises(DataError, match="must be of the kind 'image', not 'signal'"):
        open_data(flat_folder, kind="signal")


def test_files_that_are_not_read_are_told_and_do_not_change_the_fingerprint(class_folders: Path) -> None:
    before = fingerprint(class_folders)
    assert left_out(class_folders) == ["notes.txt"]
    Image.new("RGB", (8, 8)).save(class_folders / "beside.png")
    assert left_out(class_folders) == ["beside.png", "notes.txt"]
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
    read, real = (open_data(path) for path in (folder, class_folders))
    assert read.classes == real.classes == ("bright", "dark")
    assert torch.equal(stacked(read), stacked(real)) and torch.equal(read.labels, real.labels)
    assert left_out(folder) == ["notes.txt"]
    before = fingerprint(folder)
    image = next((class_folders / "dark").glob("*.png"))
    Image.new("RGB", (12, 12), "red").save(image)
    changed = fingerprint(folder)
    assert changed != before
    image.unlink()
    assert fingerprint(folder) != changed and len(open_data(folder)) == 23


def test_links_that_lead_back_or_nowhere_end(class_folders: Path) -> None:
    before = fingerprint(class_folders)
    (class_folders / "dark" / "again").symlink_to(class_folders)
    (class_folders / "bright" / "self").symlink_to(class_folders / "bright")
    (class_folders / "bright" / "loop.png").symlink_to(class_folders / "bright" / "loop.png")
    (class_folders / "dark" / "gone.png").symlink_to(class_folders / "nowhere.png")
    (class_folders / "up").symlink_to(class_folders)
    assert fingerprint(class_folders) == before
    assert len(open_data(class_folders)) == 24
    reasons = {os.path.basename(name): reason for name, reason in open_data(class_folders).left_out}
    assert reasons == {"loop.png": "is not there", "gone.png": "is not there", "notes.txt": "no image"}


def test_two_classes_that_link_to_each_other_are_read_once_each(class_folders: Path) -> None:
    (class_folders / "bright" / "other").symlink_to(class_folders / "dark")
    (class_folders / "dark" / "other").symlink_to(class_folders / "bright")
    assert len(open_data(class_folders)) == 48


def test_what_is_hidden_is_not_read_told_or_fingerprinted(class_folders: Path) -> None:
    before, told = fingerprint(class_folders), left_out(class_folders)
    for folder in (class_folders, class_folders / "dark"):
        for name in ("__MACOSX", ".git", "@eaDir", "$RECYCLE.BIN"):
            (folder / name).mkdir()
            Image.new("RGB", (8, 8)).save(folder / name / "a.png")
        for name in (".DS_Store", "._1.png", "Thumbs.db", "desktop.ini"):
            (folder / name).write_bytes(b"left behind")
    assert fingerprint(class_folders) == before and left_out(class_folders) == told
    assert open_data(class_folders).classes == ("bright", "dark")
    assert len(open_data(class_folders)) == 24


def images_in(root: Path, *names: str) -> Path:
    """Writes an image under each name below a folder."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(root / name)
    return root


def test_class_folders_one_level_deeper_are_found_and_told(tmp_path: Path) -> None:
    root = images_in(tmp_path / "amazon", "images/mug/1.png", "images/mug/2.png", "images/bike/1.png")
    samples = open_data(root)
    assert samples.classes == ("bike", "mug") and samples.labels.tolist() == [0, 1, 1]
    assert list(samples.names) == ["bike/1.png", "mug/1.png", "mug/2.png"]
    assert samples.notes == [f"{root}: the class folders are those in {root / 'images'}"]
    assert fingerprint(root) == fingerprint(root / "images")
    # one class, with images right in its folder or in one folder below it
    assert open_data(images_in(tmp_path / "one", "mug/1.png", "mug/old/2.png", "mug/new/3.png")).classes == ("mug",)
    assert open_data(images_in(tmp_path / "deep", "mug/2024/1.png")).classes == ("mug",)


def test_parts_of_a_data_set_are_not_taken_for_classes(tmp_path: Path) -> None:
    root = images_in(tmp_path / "pets", "train/cat/1.png", "train/dog/1.png", "Val/cat/1.png")
    with pytest.raises(DataError, match=rf"pets holds parts of a data set, Val, train; name one, such as {root}/Val"):
        open_data(root)
    assert len(open_data(root, labelled=False)) == 3
    assert open_data(images_in(tmp_path / "traffic", "train/1.png", "bus/1.png")).classes == ("bus", "train")


def test_subfolders_of_unlabelled_images_are_read_too(tmp_path: Path) -> None:
    root = images_in(tmp_path, "a.png", "2024/march/b.png", "2024/c.png")
    assert sorted(open_data(root, labelled=False).names) == ["2024/c.png", "2024/march/b.png", "a.png"]


def test_names_of_any_script_are_kept_and_two_ways_to_write_one_are_one_class(tmp_path: Path) -> None:
    composed, taken_apart = "Fu\u00dfg\u00e4nger", "Fu\u00dfga\u0308nger"  # as Linux and as macOS writes it
    one, two = (
        images_in(tmp_path / key, f"{name}/\u732b 1.png") for key, name in (("a", composed), ("b", taken_apart))
    )
    assert open_data(one).classes == open_data(two).classes == (composed,)
    assert open_data(two).names[0] == f"{taken_apart}/\u732b 1.png" and open_data(two)[0].shape == (3, 8, 8)
    odd = os.fsencode(tmp_path / "a" / composed) + b"/\xff.png"
    os.rename(tmp_path / "a" / composed / "\u732b 1.png", odd)
    assert open_data(one)[0].shape == (3, 8, 8)


def test_an_image_and_a_list_of_images_are_data_too(class_folders: Path, tmp_path: Path) -> None:
    listed = sorted((class_folders / "dark").glob("*.png"))
    assert list(open_data(listed[0]).names) == [listed[0].name]
    samples = open_data([*listed, str(tmp_path / "gone.png")])
    assert list(samples.names) == list(map(str, listed)) and samples.left_out == [
        (str(tmp_path / "gone.png"), "is not there")
    ]
    with pytest.raises(DataError, match=r"must be a folder with images, an image, a table .*; it is missing"):
        open_data(tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"empty must hold images, .*; it holds none"):
        (tmp_path / "empty" / "class").mkdir(parents=True)
        open_data(tmp_path / "empty")
    for wrong in (3, None, object()):
        with pytest.raises(DataError, match="data must be a path, arrays or a data set, got"):
            open_data(wrong)


def test_images_beside_few_others_in_a_subfolder_are_unlabelled(tmp_path: Path) -> None:
    root = images_in(tmp_path, "1.png", "2.png", "old/3.png")
    assert open_data(root).labels is None and len(open_data(root)) == 3
    assert open_data(root, labelled=True).left_out == [(name, "not in a class folder") for name in ("1.png", "2.png")]
    assert open_data(images_in(tmp_path, "old/4.png", "old/5.png")).classes == ("old",)

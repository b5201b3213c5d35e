"""What `open_data` returns: read when indexed, by workers too, with unreadable files left out and told."""

import pickle
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from dmsrl_adapt.data import DataError, Names, Samples, UnreadableError, open_data


def folder(root: Path, count: int, torn: tuple[int, ...] = ()) -> Path:
    """Writes images whose tone is their number, some of them torn off."""
    root.mkdir()
    for number in range(count):
        file = root / f"{number:03}.png"
        Image.fromarray(np.full((40, 40, 3), number, np.uint8)).save(file)
        if number in torn:
            file.write_bytes(file.read_bytes()[:60])
    return root


def tone(image: torch.Tensor) -> int:
    return int(image[0, 0, 0])


def test_an_image_is_read_when_it_is_indexed(tmp_path: Path) -> None:
    samples = open_data(folder(tmp_path / "a", 3))
    assert samples[1].shape == (3, 40, 40) and samples[1].dtype == torch.uint8 and tone(samples[1]) == 1
    Image.new("RGB", (5, 7), (9, 9, 9)).save(tmp_path / "a" / "001.png")
    assert samples[1].shape == (3, 7, 5) and tone(samples[1]) == 9 and tone(samples[-1]) == 2
    with pytest.raises(IndexError, match="index must be below 3, got 3"):
        samples[3]
    assert [tone(image) for image in samples] == [0, 9, 2]


def test_few_unreadable_images_are_left_out_by_name_and_many_are_an_error(tmp_path: Path) -> None:
    samples = open_data(folder(tmp_path / "a", 12, torn=(2, 3, 11)))
    assert samples.left_out == []  # nothing is read yet
    assert [None if (one := samples.get(index)) is None else tone(one) for index in range(12)] == [
        None if number in (2, 3, 11) else number for number in range(12)
    ]
    assert [name for name, _ in samples.left_out] == ["002.png", "003.png", "011.png"]
    assert all("cannot be read as an image" in reason for _, reason in samples.left_out)
    with pytest.raises(UnreadableError, match=r"002\.png cannot be read as an image"):
        samples[2]
    many = open_data(folder(tmp_path / "b", 12, torn=(1, 2, 3, 4)))
    assert [many.get(index) is None for index in range(4)] == [False, True, True, True]
    told = r"004\.png cannot be read as an image: .*; 4 of the 12 images in .*b cannot be read, at most 3 or 5 % may"
    with pytest.raises(DataError, match=told):
        many.get(4)
    with pytest.raises(DataError, match=r"1 of the 1 images in"):
        open_data(folder(tmp_path / "c", 1, torn=(0,))).get(0)
    share = open_data(folder(tmp_path / "d", 100, torn=(0, 1, 2, 3, 4, 5)))
    assert [share.get(index) for index in range(5)] == [None] * 5
    with pytest.raises(DataError, match="6 of the 100 images"):
        share.get(5)


def test_an_unreadable_image_is_replaced_by_the_next_one_for_training(tmp_path: Path) -> None:
    samples = open_data(folder(tmp_path / "a", 12, torn=(2, 3, 11)))
    for index, near in ((0, 0), (2, 4), (3, 4), (11, 0)):
        found, image = samples.near(index)
        assert found == near and tone(image) == near


def test_parts_share_what_is_unreadable_and_tell_only_their_own(tmp_path: Path) -> None:
    samples = open_data(folder(tmp_path / "a", 12, torn=(2, 3, 11)))
    first, second = samples.take(torch.arange(6)), samples.take(torch.tensor([11, 9]))
    assert second.get(0) is None and tone(second[1]) == 9 and list(second.names) == ["011.png", "009.png"]
    assert [name for name, _ in second.left_out] == [name for name, _ in samples.left_out] == ["011.png"]
    assert first.left_out == [] and len(first.take(torch.tensor([True] + 5 * [False]))) == 1


class Tolerant(torch.utils.data.Dataset):
    """What a trainer makes of samples."""

    def __init__(self, samples: Samples) -> None:
        self.samples = samples

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> tuple[int, torch.Tensor]:
        return self.samples.near(index)


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_workers_read_and_tell_what_they_found(start: str, tmp_path: Path) -> None:
    samples = open_data(folder(tmp_path / "a", 12, torn=(2, 11)))
    loader = DataLoader(Tolerant(samples), batch_size=4, num_workers=1, multiprocessing_context=start)
    rows, images = (torch.cat(part) for part in zip(*loader, strict=True))
    assert rows.tolist() == [0, 1, 3, 3, 4, 5, 6, 7, 8, 9, 10, 0] == images[:, 0, 0, 0].tolist()
    assert [name for name, _ in samples.left_out] == ["002.png", "011.png"]
    again = pickle.loads(pickle.dumps(samples))
    assert tone(again[5]) == 5 and again.left_out == samples.left_out


def test_names_are_kept_in_order() -> None:
    texts = ["a", "", "\u732b/1.png", "b" * 300, "odd\udcff.png"]
    names = Names.of(texts)
    assert list(names) == texts and names[1:4] == texts[1:4] and names[-1] == texts[-1]
    assert names.take(torch.tensor([3, 0, 0]))[:] == [texts[3], "a", "a"]
    assert Names.numbered(3)[:] == ["row 0", "row 1", "row 2"] and names == texts


def test_many_names_take_little_memory() -> None:
    tracemalloc.start()
    names = Names.of(f"folder/{number:08}.jpg" for number in range(20000))
    used = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert names[19999] == "folder/00019999.jpg" and used < 20 * 20000 + 100_000

"""Folders of class folders, and folders of unlabelled images."""

import os
import unicodedata
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from .decode import decode
from .errors import DataError
from .files import entries, images_below, is_image, why_not
from .how import How
from .labels import Labels
from .names import Names
from .samples import Samples

PARTS = {"train", "training", "val", "valid", "validation", "dev", "test", "testing"}


@dataclass(frozen=True)
class ImageFiles:
    """Reader of image files: their paths, relative to `root` or whole."""

    root: str
    paths: Names

    def __len__(self) -> int:
        return len(self.paths)

    def read(self, row: int, size: int | None) -> tuple[Tensor, bool]:
        """Returns an image, uint8 (3, H, W), and whether its file has several frames."""
        path = os.path.join(self.root, self.paths[row])
        pixels, has_frames = decode(path, path, size)
        return torch.from_numpy(pixels).permute(2, 0, 1), has_frames


@dataclass(frozen=True)
class Found:
    """The files of a folder.

    root: the folder, or the one below it that holds the class folders.
    images: of each class, relative to `root`; those of a folder without class folders under None.
    others: all other files, relative to `root`.
    """

    root: str
    images: dict[str | None, list[str]]
    others: list[str]

    @property
    def is_labelled(self) -> bool:
        """Whether there are class folders."""
        return None not in self.images


def find_images(path: str | Path, labelled: bool | None = None) -> Found:
    """Returns the files of a folder: by class where subfolders have images, unless `labelled` is False.

    A folder with as many images beside its subfolders as in them has no class folders, unless `labelled` is True.

    Raises:
        DataError: the subfolders are parts of a data set, such as train and test.
    """
    root = os.fspath(path)
    if labelled is False:
        images, others = images_below(root)
        return Found(root, {None: images}, others)
    folders, *strays = entries(root)
    own = os.path.realpath(root)
    images_of, rest = dict[str | None, list[str]](), list[str]()
    for folder in sorted(folders):
        images, others = images_below(os.path.join(root, folder), (own,))
        images_of.setdefault(unicodedata.normalize("NFC", folder), []).extend(f"{folder}/{file}" for file in images)
        rest += [f"{folder}/{file}" for file in others]
    full = [str(name) for name, images in images_of.items() if images]
    beside = sum(map(is_image, strays[0])) if labelled is None else 0
    if beside >= sum(map(len, images_of.values())):
        images, others = images_below(root)
        return Found(root, {None: images}, others)
    if len(full) == 1 and (deeper := class_root(root, full[0], images_of[full[0]])):
        return find_images(deeper, labelled)
    if len(full) > 1 and PARTS.issuperset(map(str.lower, full)):
        raise DataError(f"{root} holds parts of a data set, {', '.join(full)}; name one, such as {root}/{full[0]}")
    return Found(root, images_of, sorted([*rest, *strays[0], *strays[1]]))


def class_root(root: str, folder: str, images: list[str]) -> str | None:
    """Returns the only folder with images if class folders lie in it, as in amazon/images/mug/1.jpg."""
    below = {image.split("/")[1] for image in images if image.count("/") > 1}
    right_in_it = any(image.count("/") == 1 for image in images)
    return os.path.join(root, folder) if len(below) > 1 and not right_in_it else None


def read_folder(path: Path, how: How) -> Samples:
    """Returns the images below a folder; see `find_images`.

    Raises:
        DataError: there is none, or there are no class folders though labels are required.
    """
    kind = how.only("image", f"{path}, a folder,")
    found = find_images(path, how.labelled)
    names = [image for images in found.images.values() for image in images]
    if not names:
        where = "" if how.labelled is False else ", those of a source in class folders"
        raise DataError(f"{path} must hold images{where}; it holds none")
    if how.labelled and not found.is_labelled:
        raise DataError(f"{path} must have labels: class folders with images, it has images right in it")
    skipped = [(name, why_not(os.path.join(found.root, name))) for name in found.others]
    deeper = [f"{path}: the class folders are those in {found.root}"] if found.root != os.fspath(path) else []
    packed, labels = Names.of(names), None
    if found.is_labelled:
        counts = torch.tensor([len(images) for images in found.images.values()])
        labels = Labels(torch.arange(len(counts)).repeat_interleave(counts), tuple(map(str, found.images)), False)
    return Samples.of(ImageFiles(found.root, packed), kind, str(path), packed, labels, how.size, skipped, deeper)

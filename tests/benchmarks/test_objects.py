"""Collections of object images, on tiny folders made here; nothing is fetched."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.tasks import DataError, DataPlace, load_task, objects, task_names


@pytest.fixture(autouse=True)
def bright(monkeypatch: pytest.MonkeyPatch) -> None:
    """Puts the mean brightness of an image, (N, 1), in place of features of a network."""

    def brightness(images: torch.Tensor) -> torch.Tensor:
        return images.float().mean((1, 2, 3))[:, None]

    monkeypatch.setattr(objects, "frozen_features", brightness)
    monkeypatch.setattr(
        objects, "augmented_features", lambda images: brightness(images)[:, None].repeat(1, 2, 1).half()
    )
    monkeypatch.setattr(objects, "AT_ONCE", 7)


def make(root: Path, kind: str, domains: dict[str, int]) -> None:
    """Writes ten images of each of two classes, of brightness 10 and 110 plus that of the domain."""
    one = objects.COLLECTIONS[kind]
    for domain, light in domains.items():
        for number, name in enumerate(("bike", "mug")):
            folder = root / one.root / one.domains[domain] / name
            folder.mkdir(parents=True)
            for row in range(10):
                pixels = np.full((9, 6, 3), 10 + 100 * number + light, np.uint8)
                Image.fromarray(pixels).save(folder / f"{row}.png")
                for part in one.lists[row % 2 : row % 2 + 1]:
                    with (root / one.root / part.format(domain=domain)).open("a") as listed:
                        listed.write(f"{one.domains[domain]}/{name}/{row}.png {number}\n")


NAMES = [
    "office31-amazon-webcam",
    "officehome-art-real",
    "officecaltech10-caltech-dslr",
    "visda2017-synthetic-real",
    "domainnet126-clipart-sketch",
]


@pytest.mark.parametrize("name", NAMES)
def test_every_collection_is_read_from_its_folders(name: str, tmp_path: Path) -> None:
    kind, source, target = name.split("-")
    make(tmp_path, kind, {source: 0, target: 50})
    task = load_task(name, DataPlace(tmp_path))
    assert task.classes == ("bike", "mug") and task.metric == objects.COLLECTIONS[kind].metric
    assert [len(part) for part in (task.source, task.target_train, task.target_validation, task.target_test)] == [
        20,
        10,
        4,
        6,
    ]
    assert torch.equal(task.source.inputs[:, 0], 10.0 + 100 * task.source.labels)
    target_parts = (task.target_train, task.target_validation, task.target_test)
    assert all(torch.equal(part.inputs[:, 0], 60.0 + 100 * part.labels) for part in target_parts)
    for part in (task.source, *target_parts):
        assert torch.equal(part.augmented.float(), part.inputs[:, None].repeat(1, 2, 1))


@pytest.mark.parametrize("name", NAMES)
def test_what_is_not_there_is_named_with_its_address(name: str, tmp_path: Path) -> None:
    kind, source, _ = name.split("-")
    one = objects.COLLECTIONS[kind]
    for place, looked in ((DataPlace(tmp_path), f"it is not in {tmp_path}"), (DataPlace(), "no folder was named")):
        with pytest.raises(DataError) as caught:
            load_task(name, place)
        said = str(caught.value)
        assert said.startswith(f"{one.root}/{one.domains[source]} is needed, {looked}") and one.address in said
        assert ("add --download" in said) == (one.loader is not None)


def test_only_listed_images_are_used(tmp_path: Path) -> None:
    make(tmp_path, "domainnet126", {"clipart": 0, "real": 20})
    stray = tmp_path / "domainnet" / "real" / "ufo"
    stray.mkdir()
    (stray / "0.png").write_bytes((tmp_path / "domainnet" / "real" / "mug" / "0.png").read_bytes())
    assert load_task("domainnet126-clipart-real", DataPlace(tmp_path)).classes == ("bike", "mug")


def test_domains_of_other_classes_are_refused(tmp_path: Path) -> None:
    make(tmp_path, "office31", {"amazon": 0, "dslr": 20})
    (tmp_path / "office31" / "dslr" / "images" / "mug").rename(tmp_path / "office31" / "dslr" / "images" / "cup")
    with pytest.raises(DataError, match=r"amazon and dslr of office31 must have the same classes; not in both: .*cup"):
        load_task("office31-amazon-dslr", DataPlace(tmp_path))


def test_upstream_fetches_what_is_missing_where_wanted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    class Loader:
        def __init__(self, root: str, domain: str, train: bool, download: bool) -> None:
            asked.append((root, domain, download))
            if len(asked) > 2:
                raise RuntimeError("the server\n is away")
            make(Path(root), "officehome", {domain: 0})

    one = objects.COLLECTIONS["officehome"]
    monkeypatch.setitem(objects.COLLECTIONS, "officehome", replace(one, loader=Loader))
    load_task("officehome-art-real", DataPlace(tmp_path, download=True))
    assert asked == [(str(tmp_path), "art", True), (str(tmp_path), "real", True)]
    with pytest.raises(DataError, match=f"officehome cannot be fetched to .*: the server is away; .*{one.address}"):
        load_task("officehome-clipart-real", DataPlace(tmp_path, download=True))


def test_names_are_all_pairs_but_visda_in_one_direction() -> None:
    counts = {kind: sum(name.startswith(f"{kind}-") for name in task_names()) for kind in objects.COLLECTIONS}
    assert counts == {"office31": 6, "officehome": 12, "officecaltech10": 12, "visda2017": 1, "domainnet126": 12}
    assert {"mnist-svhn", "svhn-mnist", "svhn-usps"} <= set(task_names())

"""Classes of a source and its targets: matched by name, numbered by those that the source has samples of."""

from pathlib import Path

import numpy as np
import pytest
import torch

from dmsrl_adapt.data import DataError, agree, open_data


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
) -> None:
    source, target = (write_vectors(tmp_path / f"{key}.npz", *one) for key, one in (("s", of_source), ("t", of_target)))
    agreed = agree(open_data(source), open_data(target))
    assert agreed.classes == classes
    for part, (_, names) in zip(agreed.samples, (of_source, of_target), strict=True):
        names = names or of_source[1]
        assert part.classes == classes
        numbers = [int(row[0]) for row in part]
        assert [classes[label] for label in part.labels] == [names[n] if names else str(n) for n in numbers]
    again = agree(*agreed.samples)
    assert again.classes == classes and torch.equal(again.samples[1].labels, agreed.samples[1].labels)


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
        agree(open_data(source), open_data(target))


def test_classes_that_some_data_lacks_are_told() -> None:
    rows = np.zeros((4, 2))
    source = open_data({"X": rows, "y": [0, 0, 2, 2], "classes": ["cat", "eel", "dog"]})
    target = open_data({"X": rows, "y": [2, 2, 2, 2], "classes": ["cat", "eel", "dog"]})
    agreed = agree(source, target, open_data(rows))
    assert agreed.classes == ("cat", "dog") and agreed.samples[0].labels.tolist() == [0, 0, 1, 1]
    assert agreed.samples[1].labels.tolist() == [1] * 4 and agreed.samples[2].labels is None
    assert agreed.notes == [
        "the given mapping: no sample of eel, left out of the classes",
        "the given mapping: no sample of cat, eel",
    ]


def test_a_source_without_labels_is_refused() -> None:
    with pytest.raises(DataError, match="the source the given array must have labels: class folders with images"):
        agree(open_data(np.zeros((4, 2))), open_data(np.zeros((4, 2))))

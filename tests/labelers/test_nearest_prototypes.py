import math

import pytest
import torch

from dmsrl_adapt.labelers import nearest_prototypes
from dmsrl_adapt.labelers.nearest_prototypes import NearestPrototypes, in_parts


def make(classes=3, per_class=1, metric="l2", momentum=0.9):
    return NearestPrototypes(classes, 2, per_class, metric, momentum)


def look_up(layer, features):
    return layer._nearest_class(layer._rows(features), layer._index("cpu", None))


def test_the_first_batch_sets_and_later_ones_move():
    layer, labels = make(momentum=0.75), torch.tensor([1])
    layer.update(torch.tensor([[4.0, 0.0]]), labels)
    assert layer.prototypes.tolist() == [[0.0, 0.0], [4.0, 0.0], [0.0, 0.0]]
    layer.update(torch.tensor([[0.0, 8.0]]), labels)
    assert layer.prototypes[1].tolist() == [3.0, 2.0]
    assert layer.is_seen.tolist() == [False, True, False]


def test_samples_count_by_their_weight_and_not_without_a_label():
    layer = make()
    rows = torch.tensor([[4.0, 0.0], [0.0, 4.0], [9.0, 9.0]])
    layer.update(rows, torch.tensor([0, 0, -1]), torch.tensor([0.75, 0.25, 1.0]))
    assert layer.prototypes[0].tolist() == [3.0, 1.0]
    assert layer.is_seen.tolist() == [True, False, False]


def test_the_cosine_metric_keeps_directions():
    layer = make(metric="cosine")
    layer.update(torch.tensor([[3.0, 4.0], [30.0, 40.0]]), torch.tensor([0, 0]))
    torch.testing.assert_close(layer.prototypes[0], torch.tensor([0.6, 0.8]))


def test_fit_forgets_what_a_class_was_and_keeps_those_that_are_absent():
    layer = make()
    layer.update(torch.tensor([[4.0, 0.0], [0.0, 4.0]]), torch.tensor([0, 1]))
    layer.fit(torch.tensor([[1.0, 1.0]]), torch.tensor([0]))
    assert layer.prototypes[:2].tolist() == [[1.0, 1.0], [0.0, 4.0]]
    assert layer.is_seen.tolist() == [True, True, False]


def test_fit_gives_each_cluster_of_a_class_a_prototype():
    layer = make(classes=1, per_class=2)
    clusters = torch.tensor([[0.0, 0.0], [0.0, 2.0], [10.0, 0.0], [10.0, 2.0]])
    layer.fit(clusters, torch.zeros(4, dtype=torch.long))
    assert sorted(layer.prototypes.tolist()) == [[0.0, 1.0], [10.0, 1.0]]


def test_update_moves_the_nearest_prototype_of_the_class():
    layer = make(classes=1, per_class=2, momentum=0.5)
    layer.fit(torch.tensor([[0.0, 0.0], [10.0, 0.0]]), torch.zeros(2, dtype=torch.long))
    layer.update(torch.tensor([[12.0, 0.0]]), torch.tensor([0]))
    assert sorted(layer.prototypes.tolist()) == [[0.0, 0.0], [11.0, 0.0]]


def test_trust_is_one_at_a_prototype_and_zero_between_two():
    layer = make(classes=2)
    layer.update(torch.tensor([[0.0, 0.0], [4.0, 0.0]]), torch.tensor([0, 1]))
    classes, trust, distances = look_up(layer, torch.tensor([[4.0, 0.0], [2.0, 0.0], [1.0, 0.0]]))
    assert classes[[0, 2]].tolist() == [1, 0]
    torch.testing.assert_close(trust, torch.tensor([1.0, 0.0, 1 - 1 / 9]))
    torch.testing.assert_close(distances, torch.tensor([0.0, 4.0, 1.0]))


def test_the_second_distance_is_that_to_another_class():
    layer = make(classes=2, per_class=2)
    rows = torch.tensor([[0.0, 0.0], [1.0, 0.0], [10.0, 0.0], [11.0, 0.0]])
    layer.fit(rows, torch.tensor([0, 0, 1, 1]))
    trust = look_up(layer, torch.tensor([[0.0, 1.0]]))[1]
    torch.testing.assert_close(trust, torch.tensor([1 - 1 / 101]))


@pytest.mark.parametrize("seen", [[], [1], [0, 2]])
def test_before_every_class_is_seen_there_is_no_label(seen):
    layer = make()
    layer.update(torch.ones(len(seen), 2), torch.tensor(seen, dtype=torch.long))
    classes, trust, distances = look_up(layer, torch.zeros(2, 2))
    assert (classes.tolist(), trust.tolist(), distances.tolist()) == ([-1, -1], [0.0, 0.0], [math.inf, math.inf])


def test_a_refused_batch_leaves_the_prototypes():
    layer = make()
    for update in (layer.update, layer.fit):
        for rows, labels in ((torch.full((1, 2), math.nan), [0]), (torch.ones(1, 2), [3]), (torch.ones(1, 3), [0])):
            with pytest.raises(ValueError, match="must"):
                update(rows, torch.tensor(labels))
    assert not layer.prototypes.any()
    assert not layer.is_seen.any()


def test_parts_hold_every_row_once_and_no_more_than_they_may(monkeypatch):
    monkeypatch.setattr(nearest_prototypes, "CELLS", 12)
    rows, numbers = torch.randn(7, 4), torch.arange(7)
    parts = list(in_parts(4, rows, numbers))
    assert [len(part) for part, _ in parts] == [3, 3, 1]
    assert torch.equal(torch.cat([part for part, _ in parts]), rows)
    assert torch.equal(torch.cat([part for _, part in parts]), numbers)
    assert [len(part) for (part,) in in_parts(100, rows)] == [1] * 7
    monkeypatch.undo()
    assert [len(part) for (part,) in in_parts(2**21, rows)] == [4, 3]  # 32 MiB of float32 at a time


@pytest.mark.parametrize("per_class", [1, 3])
def test_fit_in_parts_is_fit_at_once(per_class, monkeypatch):
    rows, labels = torch.randn(60, 2), torch.arange(60) % 3
    whole, parts = make(per_class=per_class), make(per_class=per_class)
    whole.fit(rows, labels)
    monkeypatch.setattr(nearest_prototypes, "CELLS", 40)
    parts.fit(rows, labels)
    torch.testing.assert_close(parts.prototypes, whole.prototypes)

import pytest
import torch
import torch.nn.functional as F

from dmsrl_adapt.labelers import class_prototypes
from dmsrl_adapt.labelers.class_prototypes import class_sums, clusters_within_classes, present_sums


def modes(sizes, spread=0.05, dim=6):
    """Unit rows around one axis for each size, and the number of the axis of every row, shuffled."""
    axis = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
    order = torch.randperm(len(axis))
    rows = torch.eye(dim)[axis] + spread * torch.randn(len(axis), dim)
    return F.normalize(rows, dim=1)[order], axis[order]


def test_sums_by_hand():
    rows = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0], [7.0, 8.0]])
    sums, mass = class_sums(rows, torch.tensor([1, 1, -1, 0]), torch.tensor([0.5, 1.0, 1.0, 0.0]), 3)
    assert sums.tolist() == [[0.0, 0.0], [3.5, 5.0], [0.0, 0.0]]
    assert mass.tolist() == [0.0, 1.5, 0.0]


def test_sums_of_the_classes_that_are_there():
    rows, labels = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0], [7.0, 8.0]]), torch.tensor([6, 2, -1, 4])
    present, sums, mass = present_sums(rows, labels, torch.tensor([0.5, 1.0, 1.0, 0.0]), 8)
    assert present.tolist() == [2, 6]
    assert sums.tolist() == [[3.0, 4.0], [0.5, 1.0]]
    assert mass.tolist() == [1.0, 0.5]
    for nothing in (torch.zeros(4), torch.zeros(0)):
        present, sums, mass = present_sums(rows[: len(nothing)], labels[: len(nothing)], nothing, 8)
        assert (present.tolist(), sums.shape, mass.shape) == ([], (0, 2), (0,))


@pytest.mark.parametrize("size", [0, 1, 50])
def test_sums_of_the_classes_that_are_there_are_those_of_all(size):
    rows, labels = torch.randn(size, 3), torch.randint(-1, 9, (size,))
    weights = torch.rand(size) * (torch.rand(size) > 0.3)
    present, *found = present_sums(rows, labels, weights, 9)
    expected = class_sums(rows, labels, weights, 9)
    assert torch.equal(present, expected[1].nonzero()[:, 0])
    for ours, of_all in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, of_all[present])


@pytest.mark.parametrize("spherical", [True, False])
def test_clusters_are_the_modes_of_each_class(spherical):
    rows, axis = modes([30, 50, 20, 40, 30, 30])
    # two modes a class, one of them with few samples
    labels = axis // 2
    clusters = clusters_within_classes(rows, labels, torch.ones(len(rows)), 3, 2, spherical)
    assert torch.equal(clusters // 2, labels)
    for number in range(6):
        assert len(clusters[axis == number].unique()) == 1
    assert len(clusters.unique()) == 6
    assert torch.equal(clusters, clusters_within_classes(rows, labels, torch.ones(len(rows)), 3, 2, spherical))


@pytest.mark.parametrize("spherical", [True, False])
def test_every_row_is_nearest_to_its_own_cluster(spherical):
    """By angle to the mean direction where clusters are of directions, else by distance to the mean."""
    by_other = 0
    for _ in range(10):
        rows = F.normalize(torch.randn(40, 4) + torch.tensor([0.7, 0.0, 0.0, 0.0]), dim=1)
        clusters = clusters_within_classes(rows, torch.zeros(40).long(), torch.ones(40), 1, 2, spherical)
        means = torch.stack([rows[clusters == number].mean(0) for number in range(2)])
        by_angle, by_distance = (rows @ F.normalize(means, dim=1).t()).argmax(1), torch.cdist(rows, means).argmin(1)
        assert torch.equal(clusters, by_angle if spherical else by_distance)
        by_other += int((clusters != (by_distance if spherical else by_angle)).sum())
    assert by_other > 0


def test_rows_without_label_or_weight_are_in_no_cluster():
    rows, axis = modes([20, 20])
    labels, weights = torch.zeros(40, dtype=torch.long), torch.ones(40)
    labels[:4], weights[4:9] = -1, 0.0
    clusters = clusters_within_classes(rows, labels, weights, 2, 2, True)
    assert (clusters[:9] == -1).all()
    assert torch.equal(clusters[9:] == clusters[9], axis[9:] == axis[9])


@pytest.mark.parametrize("per_class", [1, 2, 3, 5])
def test_a_class_with_few_rows_has_a_cluster_for_each(per_class):
    labels = torch.tensor([0, 2, 2])
    clusters = clusters_within_classes(torch.randn(3, 4), labels, torch.ones(3), 4, per_class, False)
    assert torch.equal(clusters // per_class, labels)
    assert len(clusters.unique()) == (2 if per_class == 1 else 3)
    nothing = clusters_within_classes(torch.zeros(0, 4), labels[:0], torch.ones(0), 4, per_class, False)
    assert nothing.shape == (0,)


def test_one_cluster_a_class_is_found_without_k_means(monkeypatch):
    monkeypatch.setattr(class_prototypes, "load_faiss", lambda: pytest.fail("k-means was asked"))
    labels, weights = torch.tensor([1, 0, -1, 1, 1]), torch.tensor([1.0, 0.5, 1.0, 0.0, 1.0])
    assert clusters_within_classes(torch.randn(5, 3), labels, weights, 2, 1, False).tolist() == [1, 0, -1, -1, 1]


def test_a_heavy_row_keeps_a_cluster_to_itself():
    rows, labels = torch.tensor([[0.0], [3.0], [6.5]]), torch.zeros(3, dtype=torch.long)
    # the heavy row keeps the mean of a cluster to itself
    for weights, outsider in (([1.0, 1.0, 1.0], 2), ([1000.0, 1.0, 1.0], 0)):
        clusters = clusters_within_classes(rows, labels, torch.tensor(weights), 1, 2, False)
        assert (clusters == clusters[outsider]).nonzero()[:, 0].tolist() == [outsider]


@pytest.mark.parametrize("spherical", [True, False])
def test_equal_and_zero_rows_have_clusters_of_their_class(spherical):
    rows = torch.cat([torch.ones(5, 3), torch.zeros(5, 3)])
    labels = torch.arange(10) // 5
    clusters = clusters_within_classes(rows, labels, torch.ones(10), 2, 3, spherical)
    assert torch.equal(clusters // 3, labels)

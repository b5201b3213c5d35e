import copy
import json
import warnings

import pytest
import torch
from pytorch_metric_learning.utils.common_functions import list_of_recordable_attributes_list_names
from torch import nn

from dmsrl_adapt.labelers import PrototypeLabeler, nearest_prototypes
from dmsrl_adapt.labelers.faiss_search import FlatIndex

from .. import references
from ..stand_ins import OneThreshold, assert_same_states, states

CLASSES, DIM, NUM_TARGET = 4, 3, 30


def make(**changed):
    return PrototypeLabeler(**{"num_classes": CLASSES, "feature_dim": DIM, "num_target": NUM_TARGET, **changed})


def trained(**changed):
    labeler = make(**changed)
    labeler.update(torch.randn(12, DIM), torch.arange(12) % CLASSES)
    labeler(torch.randn(10, DIM), sample_idx=torch.arange(10))
    return labeler


@pytest.mark.parametrize("metric", ["cosine", "l2"])
@pytest.mark.parametrize(("momentum", "threshold"), [(0.9, 0.5), (0.0, 0.0), (0.5, 1.2), (1.0, 0.8)])
def test_follows_the_slow_reference_over_many_batches(metric, momentum, threshold):
    settings = {"metric": metric, "momentum": momentum, "threshold": threshold}
    labeler, slow = make(**settings), references.SlowPrototypes(CLASSES, **settings)
    rejected = 0
    for step in range(6):
        source, target = 3 * torch.randn(7, DIM) + 1, torch.randn(9, DIM)
        source_labels = torch.randint(-1, 2 + step // 2, (7,)).clamp(max=CLASSES - 1)
        weights = torch.rand(7) * (torch.rand(7) > 0.3) if step % 2 else None
        if step == 1:  # of all classes, so that samples are rejected in the first two steps only
            source_labels[:CLASSES], weights[:CLASSES] = torch.arange(CLASSES), 0.5
        labels, confidence, _ = labeler(target, sample_idx=torch.randperm(NUM_TARGET)[:9])
        expected_labels, expected_confidence = slow.label(target)
        assert labels.tolist() == expected_labels
        torch.testing.assert_close(confidence.tolist(), expected_confidence, rtol=1e-3, atol=1e-5)
        labeler.update(source, source_labels, weights)
        slow.update(source, source_labels.tolist(), None if weights is None else weights.tolist())
        labeler.update(target, labels, confidence)
        slow.update(target, labels.tolist(), confidence.tolist())
        for k, prototype in enumerate(slow.prototypes):
            assert labeler.is_seen[k].item() == (prototype is not None)
            expected = torch.zeros(DIM) if prototype is None else torch.tensor(prototype)
            torch.testing.assert_close(labeler.prototypes[k], expected, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(labeler.mean_confidence, torch.tensor(slow.mean_confidence), rtol=1e-4, atol=1e-5)
        rejected += expected_labels.count(-1)
    assert (rejected > 18) == (threshold > 0)  # the first two, before every class is seen, are always rejected


@pytest.mark.parametrize("metric", ["cosine", "l2"])
@pytest.mark.parametrize("momentum", [0.9, 0.0, 1.0])
def test_soft_means_follow_the_slow_reference_over_many_batches(metric, momentum):
    labeler = make(metric=metric, momentum=momentum)
    slow = references.SlowPrototypes(CLASSES, metric=metric, momentum=momentum)
    for step in range(4):
        features, probs = torch.randn(7, DIM), (2 * torch.randn(7, CLASSES)).softmax(1)
        if step == 0:
            probs = torch.eye(CLASSES)[torch.arange(7) % (CLASSES - 1)]
        labeler.update_soft(features, probs)
        slow.update_soft(features, probs)
        assert labeler.is_seen.tolist() == [one is not None for one in slow.prototypes]
        for k, prototype in enumerate(slow.prototypes):
            expected = torch.zeros(DIM) if prototype is None else torch.tensor(prototype)
            torch.testing.assert_close(labeler.prototypes[k], expected, rtol=1e-4, atol=1e-5)


def test_soft_means_by_hand():
    labeler = make(num_classes=2, feature_dim=1, metric="l2", momentum=0.25)
    labeler.update_soft(torch.tensor([[0.0], [4.0]]), torch.tensor([[0.75, 0.25], [0.25, 0.75]]))
    torch.testing.assert_close(labeler.prototypes, torch.tensor([[1.0], [3.0]]))
    # 3/4 of the batch are of class 0, 1/4 of class 1: 0.25^1.5 = 1/8 and 0.25^0.5 = 1/2 of the old is kept
    labeler.update_soft(torch.tensor([[9.0]]), torch.tensor([[0.75, 0.25]]))
    torch.testing.assert_close(labeler.prototypes, torch.tensor([[8.0], [6.0]]))


def test_soft_means_of_certain_classes_that_are_equally_frequent_are_those_by_labels():
    by_labels, by_probs = make(), make()
    for _ in range(3):
        features, labels = torch.randn(8, DIM), torch.arange(8) % CLASSES
        by_labels.update(features, labels)
        by_probs.update_soft(features, torch.eye(CLASSES)[labels])
    assert_same_states(states({"a": by_labels}), states({"a": by_probs}), rtol=1e-5, atol=1e-6)


def test_soft_means_of_no_sample_leave_all_as_it_was():
    labeler = trained()
    before = states({"labeler": labeler})
    labeler.update_soft(torch.zeros(0, DIM), torch.zeros(0, CLASSES))
    assert_same_states(states({"labeler": labeler}), before)


@pytest.mark.parametrize(
    ("features", "probs", "message"),
    [
        (torch.zeros(2, DIM + 1), torch.zeros(2, CLASSES), r"features must have shape \(N, 3\), got \(2, 4\)"),
        (torch.full((2, DIM), torch.nan), torch.zeros(2, CLASSES), "features must be finite"),
        (torch.zeros(2, DIM), torch.zeros(2, 3), r"class_probs must have shape \(2, 4\), got \(2, 3\)"),
        (torch.zeros(2, DIM), torch.full((2, CLASSES), 2.0), r"class_probs must be in 0\.\."),
    ],
)
def test_bad_input_of_soft_means_is_refused_and_changes_nothing(features, probs, message):
    labeler = trained()
    before = states({"labeler": labeler})
    with pytest.raises(ValueError, match=message):
        labeler.update_soft(features, probs)
    assert_same_states(states({"labeler": labeler}), before)


def test_soft_means_need_one_prototype_per_class():
    with pytest.raises(ValueError, match="prototypes_per_class must be 1 for update_soft, got 2"):
        make(prototypes_per_class=2).update_soft(torch.zeros(2, DIM), torch.full((2, CLASSES), 0.25))


def test_running_means_by_hand():
    labeler = make(num_classes=2, feature_dim=2, metric="l2", momentum=0.75)
    labeler.update(torch.tensor([[0.0, 0.0], [4.0, 8.0], [9.0, 9.0]]), torch.tensor([0, 0, -1]))
    assert labeler.prototypes.tolist() == [[2.0, 4.0], [0.0, 0.0]]
    assert labeler.is_seen.tolist() == [True, False]
    labeler.update(torch.tensor([[10.0, 4.0], [0.0, 0.0]]), torch.tensor([0, 0]), torch.tensor([0.8, 0.2]))
    # 3/4 of (2, 4) and 1/4 of (8, 3.2)
    torch.testing.assert_close(labeler.prototypes[0], torch.tensor([3.5, 3.8]))


def test_cosine_prototypes_average_directions():
    labeler = make(num_classes=2, feature_dim=2)
    labeler.update(torch.tensor([[100.0, 0.0], [0.0, 0.1]]), torch.tensor([0, 0]))
    torch.testing.assert_close(labeler.prototypes[0], torch.tensor([0.5, 0.5]))


def test_confidence_by_hand():
    labeler = make(num_classes=2, feature_dim=2, metric="l2", threshold=0.0)
    labeler.update(torch.tensor([[0.0, 0.0], [4.0, 0.0]]), torch.tensor([0, 1]))
    # squared distances 1 and 9; 4 and 4; 0 and 16
    labels, confidence, _ = labeler(torch.tensor([[1.0, 0.0], [2.0, 0.0], [4.0, 0.0]]))
    assert labels[[0, 2]].tolist() == [0, 1]
    torch.testing.assert_close(confidence, torch.tensor([1 - 1 / 9, 0.0, 1.0]))
    assert (labels.dtype, confidence.dtype) == (torch.int64, torch.float32)


def test_samples_well_below_the_mean_confidence_of_their_class_are_rejected():
    labeler = make(num_classes=2, feature_dim=2, metric="l2", threshold=0.5, momentum=0.5)
    labeler.update(torch.tensor([[0.0, 0.0], [4.0, 0.0]]), torch.tensor([0, 1]))
    # distances to class 0: 0, 1/4, 3.61; to class 1: 16, 12.25, 4.41; the last one has low confidence
    features = torch.tensor([[0.0, 0.0], [0.5, 0.0], [1.9, 0.0]])
    confidences = [1.0, 1 - 0.25 / 12.25, 1 - 3.61 / 4.41]
    labels, confidence, _ = labeler(features, sample_idx=torch.tensor([3, 1, 0]))
    assert labels.tolist() == [0, 0, -1]
    torch.testing.assert_close(confidence, torch.tensor([*confidences[:2], 0.0]))
    assert labeler.mean_confidence.tolist() == pytest.approx([sum(confidences) / 3, 0.0])
    # the next batch's mean counts by half; a class with low confidence throughout keeps its samples
    labels, confidence, _ = labeler(torch.tensor([[2.1, 0.0], [0.0, 0.0]]), sample_idx=torch.tensor([5, 6]))
    assert labels.tolist() == [1, 0]
    assert labeler.mean_confidence.tolist() == pytest.approx([sum(confidences) / 6 + 0.5, 1 - 3.61 / 4.41], rel=1e-5)


def test_labels_and_weights_are_stored_by_sample_index():
    labeler = make(threshold=0.9)
    labeler.update(torch.randn(12, DIM), torch.arange(12) % CLASSES)
    sample_idx = torch.tensor([7, 0, 29, 3, 12, 11, 5, 6])
    labels, confidence, _ = labeler(torch.randn(8, DIM), sample_idx=sample_idx)
    assert 0 < (labels == -1).sum() < 8
    assert torch.equal(labeler.labels[sample_idx], labels)
    assert torch.equal(labeler.weights[sample_idx], confidence)
    others = torch.ones(NUM_TARGET, dtype=torch.bool)
    others[sample_idx] = False
    assert (labeler.labels[others] == -1).all()
    assert (labeler.weights[others] == 0).all()


def test_without_sample_idx_nothing_is_stored():
    labeler = trained()
    before = states({"labeler": labeler})
    labeler(torch.randn(5, DIM))
    assert_same_states(states({"labeler": labeler}), before)


def test_threshold_zero_rejects_none():
    labeler = trained(threshold=0.0)
    for _ in range(3):
        assert (labeler(torch.randn(9, DIM), sample_idx=torch.arange(9)).labels >= 0).all()


@pytest.mark.parametrize("metric", ["cosine", "l2"])
@pytest.mark.parametrize("teach", ["update", "fit"])
@pytest.mark.parametrize("neighbours", [0, 3])
def test_samples_are_rejected_until_every_class_has_been_seen(metric, teach, neighbours):
    labeler = make(metric=metric, threshold=0.0, prototypes_per_class=2, neighbours=neighbours)
    features = torch.randn(5, DIM)
    for k in (1, 3, 0, 2):
        for of_call in (labeler(features), labeler(features, sample_idx=torch.arange(5))):
            assert (of_call.labels == -1).all() and (of_call.weights == 0).all() and of_call.distances.isinf().all()
        assert labeler.relabel([(features, torch.arange(5))])["fraction_kept"] == 0
        assert (labeler.labels == -1).all() and (labeler.mean_confidence == 0).all()
        getattr(labeler, teach)(torch.randn(3, DIM) + k, torch.full((3,), k))
    assert (labeler(features, sample_idx=torch.arange(5)).labels >= 0).all()
    assert labeler.relabel([(features, torch.arange(5))])["fraction_kept"] == 5 / NUM_TARGET


def test_whether_all_classes_were_seen_follows_the_state():
    whole, part, features = trained(threshold=0.0), make(threshold=0.0), torch.randn(5, DIM)
    part.update(torch.randn(3, DIM), torch.arange(3))
    copied = copy.deepcopy(whole)
    assert (copied(features).labels >= 0).all()
    for one in (whole, copied):
        one.load_state_dict(part.state_dict())
        assert (one(features).labels == -1).all()
    assert (copy.deepcopy(part)(features).labels == -1).all()
    nn.ModuleDict({"labeler": part}).load_state_dict(nn.ModuleDict({"labeler": trained()}).state_dict())
    assert (part(features).labels >= 0).all()


def test_a_source_sorted_by_label_gives_each_class_its_own_prototype():
    """Target samples wrongly assigned to the first class would move its prototype to their mean."""
    labeler, centres = make(num_classes=3, metric="l2"), 10 * torch.eye(3)
    for k in range(3):
        for _ in range(20):
            target = centres[torch.arange(9) % 3] + 0.1 * torch.randn(9, DIM)
            found = labeler(target, sample_idx=torch.arange(9))
            labeler.update(centres[k] + 0.1 * torch.randn(6, DIM), torch.full((6,), k))
            labeler.update(target, found.labels, found.weights)
            assert k == 2 or (found.labels == -1).all()
    torch.testing.assert_close(labeler.prototypes, centres, rtol=0, atol=0.2)
    assert found.labels.tolist() == 3 * [0, 1, 2]


NEVER_SEEN = r"PrototypeLabeler rejects every target sample, since it has not seen a sample of class 1, 3 yet"


def test_a_class_missing_from_the_source_warns_once():
    labeler = make()
    labeler.update(torch.randn(2, DIM), torch.tensor([0, 2]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(99):
            labeler(torch.randn(2, DIM))
    with pytest.warns(UserWarning, match=NEVER_SEEN) as caught:
        labeler(torch.randn(2, DIM))  # the hundredth
    assert len(caught) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(200):
            labeler(torch.randn(2, DIM))
        labeler.relabel([(torch.randn(2, DIM), torch.arange(2))])


def test_a_pass_with_an_unseen_class_warns_at_once():
    labeler = make()
    labeler.fit(torch.randn(2, DIM), torch.tensor([0, 2]))
    with pytest.warns(UserWarning, match=NEVER_SEEN):
        labeler.relabel([(torch.randn(2, DIM), torch.arange(2))])


SCALES = [1e-3, 1.0, 1e3]


def collapsed(dim, scale, dtype, noise=0.0):
    """Features of one direction and length, up to rounding."""
    point = scale * (torch.randn(dim) + 0.5)
    return (point + noise * scale * torch.randn(64, dim)).to(dtype)


@pytest.mark.parametrize("metric", ["cosine", "l2"])
@pytest.mark.parametrize("dim", [1, 7, 512, 3000])
@pytest.mark.parametrize("size", [1, 19, 64])
@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_features_collapsed_to_a_point_have_no_confidence(metric, dim, size, scale, dtype):
    noise = 1e-7 if dtype == torch.float32 else 0.0
    features = collapsed(dim, scale, dtype, noise)
    labeler = PrototypeLabeler(5, dim, 64, metric=metric)
    for _ in range(3):
        labels = torch.randint(5, (64,))
        labels[:5] = torch.arange(5)
        labeler.update(features, labels, torch.rand(64))
        assert labeler(features[:size], sample_idx=torch.arange(size)).weights.tolist() == size * [0.0]
    assert labeler(1.0 + 0.5 * features.float()).weights.shape == (64,)
    labeler.relabel([(features, torch.arange(64))])
    assert labeler.weights.tolist() == 64 * [0.0]
    # the same point at different scales has the same direction
    if metric == "cosine" and dtype == torch.float32:
        assert labeler(features * torch.rand(64, 1).add(0.1)).weights.tolist() == 64 * [0.0]


@pytest.mark.parametrize("metric", ["cosine", "l2"])
@pytest.mark.parametrize("size", [3, 50])
@pytest.mark.parametrize("scale", SCALES)
def test_equal_prototypes_of_two_classes_give_no_confidence(metric, size, scale):
    centres = scale * torch.randn(2, 300)
    labeler = PrototypeLabeler(3, 300, 50, metric=metric)
    # two classes at one place, from different numbers of samples; the third is elsewhere
    labeler.update(centres[:1].expand(3, -1), torch.zeros(3).long())
    labeler.update(centres[:1].expand(7, -1), torch.ones(7).long())
    labeler.update(centres[1:], torch.tensor([2]))
    near = centres[:1] + 0.3 * scale * torch.randn(size, 300)
    assert labeler(near).weights.tolist() == size * [0.0]
    assert (labeler(centres[1:] + 0.3 * scale * torch.randn(size, 300)).weights > 0.3).all()


@pytest.mark.parametrize("metric", ["cosine", "l2"])
@pytest.mark.parametrize("dim", [2, 512])
@pytest.mark.parametrize("scale", SCALES)
def test_a_sample_at_a_prototype_far_from_the_others_has_full_confidence(metric, dim, scale):
    labeler, centres = PrototypeLabeler(2, dim, 9, metric=metric), scale * torch.randn(2, dim)
    labeler.update(centres, torch.arange(2))
    assert labeler(centres).weights.tolist() == pytest.approx([1.0, 1.0], abs=1e-5)
    # a small distance, but much larger than rounding
    labeler.update(centres[:1] * (1 + 0.05 * torch.randn(1, dim)), torch.tensor([1]))
    labeler.momentum = 0.0
    labeler.update(centres[:1] + 0.05 * scale * torch.randn(1, dim), torch.tensor([1]))
    assert labeler(centres[:1]).weights.tolist() == pytest.approx([1.0], abs=1e-2)


def test_before_any_class_is_seen_all_are_rejected():
    labeler = make()
    labels, confidence, _ = labeler(torch.randn(5, DIM), sample_idx=torch.arange(5))
    assert labels.tolist() == 5 * [-1]
    assert confidence.tolist() == 5 * [0.0]
    assert (labeler.labels == -1).all()
    assert (labeler.mean_confidence == 0).all()


def test_labels_and_weights_of_zero_mass_change_nothing():
    labeler = trained()
    before = states({"labeler": labeler})
    labeler.update(torch.randn(4, DIM), torch.full((4,), -1))
    labeler.update(torch.randn(4, DIM), torch.arange(4), torch.zeros(4))
    labeler.update(torch.zeros(0, DIM), torch.zeros(0, dtype=torch.long))
    labeler(torch.zeros(0, DIM), sample_idx=torch.zeros(0, dtype=torch.long))
    assert_same_states(states({"labeler": labeler}), before)


def test_one_class_has_full_confidence():
    labeler = make(num_classes=1)
    labeler.update(torch.randn(3, DIM), torch.zeros(3, dtype=torch.long))
    labels, confidence, _ = labeler(torch.randn(4, DIM), sample_idx=torch.arange(4))
    assert labels.tolist() == 4 * [0]
    assert confidence.tolist() == 4 * [1.0]


def test_zero_and_duplicate_features_are_finite():
    labeler = make()
    labeler.update(torch.ones(4, DIM), torch.arange(4))
    labels, confidence, _ = labeler(torch.stack([torch.zeros(DIM), torch.ones(DIM)]), sample_idx=torch.arange(2))
    assert ((labels >= -1) & (labels < CLASSES)).all()
    # all prototypes are the same: no class is nearer than another
    torch.testing.assert_close(confidence, torch.zeros(2), atol=1e-6, rtol=0)


@pytest.mark.parametrize("seen", [True, False])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_any_floating_dtype_is_kept_in_float32(dtype, seen):
    labeler, twin = make(threshold=0.0), make(threshold=0.0)
    features = torch.randn(8, DIM).to(dtype)
    if seen:
        labeler.update(features.requires_grad_(), torch.arange(8) % CLASSES, torch.ones(8).to(dtype))
        twin.update(features.float(), torch.arange(8) % CLASSES)
    labels, confidence, _ = labeler(features, sample_idx=torch.arange(8))
    assert confidence.dtype == torch.float32
    assert not confidence.requires_grad
    assert torch.equal(labels, twin(features.float(), sample_idx=torch.arange(8)).labels)
    assert_same_states(states({"labeler": labeler}), states({"labeler": twin}))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_changes_nothing(dtype):
    labeler, twin = make(), make()
    features, labels, sample_idx = torch.randn(8, DIM), torch.arange(8) % CLASSES, torch.arange(8)
    with torch.autocast("cpu", dtype=dtype):
        labeler.update(features, labels)
        labeler(features, sample_idx=sample_idx)
    twin.update(features, labels)
    twin(features, sample_idx=sample_idx)
    assert_same_states(states({"labeler": labeler}), states({"labeler": twin}))


def test_state_dict_round_trip_gives_the_same_labels():
    labeler, fresh = trained(), make()
    fresh.load_state_dict(labeler.state_dict())
    features, sample_idx = torch.randn(9, DIM), torch.arange(9)
    for ours, theirs in zip(labeler(features, sample_idx), fresh(features, sample_idx), strict=True):
        assert torch.equal(ours, theirs)
    assert_same_states(states({"labeler": labeler}), states({"labeler": fresh}))


def test_state_is_buffers_of_8_bytes_a_target_sample():
    labeler = make()
    assert not list(labeler.parameters())
    bytes_of = {num: sum(b.nbytes for b in make(num_target=num).buffers()) for num in (10, 110)}
    assert bytes_of[110] - bytes_of[10] == 800


def test_distances_by_hand():
    labeler = make(num_classes=2, feature_dim=2, threshold=5.0)
    assert labeler(torch.ones(1, 2)).distances.tolist() == [float("inf")]
    labeler.update(torch.tensor([[0.0, 2.0], [-3.0, 0.0]]), torch.tensor([0, 1]))
    labels, _, distances = labeler(torch.tensor([[5.0, 0.0], [-1.0, 0.0]]), sample_idx=torch.arange(2))
    # orthogonal and parallel; the distance does not depend on rejection
    assert labels.tolist() == [-1, -1]
    assert distances.tolist() == pytest.approx([1.0, 0.0])
    labeler = make(num_classes=1, feature_dim=2, metric="l2")
    labeler.update(torch.tensor([[0.0, 2.0]]), torch.tensor([0]))
    assert labeler(torch.tensor([[5.0, 0.0]])).distances.tolist() == pytest.approx([29.0])


def test_a_class_has_one_prototype_before_fit():
    labeler, plain = make(prototypes_per_class=3), make()
    for _ in range(3):
        features, labels, idx = torch.randn(12, DIM), torch.arange(12) % CLASSES, torch.arange(12)
        for one in (labeler, plain):
            one.update(features, labels)
            one(features, sample_idx=idx)
    assert torch.equal(labeler.is_seen, torch.tensor([True, False, False]).repeat(CLASSES))
    torch.testing.assert_close(labeler.prototypes[::3], plain.prototypes)
    assert torch.equal(labeler.labels, plain.labels)


def two_modes(metric):
    """Class 0 at two ends of a line with class 1 between them, where the mean of class 0 is."""
    features = torch.tensor([[6.0, 1.0], [5.0, 1.0], [-6.0, 1.0], [-7.0, 1.0], [0.0, 1.0], [0.2, 1.1]])
    labels = torch.tensor([0, 0, 0, 0, 1, 1])
    labeler = make(num_classes=2, feature_dim=2, metric=metric, prototypes_per_class=2, momentum=0.5, threshold=0.0)
    labeler.fit(features, labels)
    return labeler, features, labels


@pytest.mark.parametrize("metric", ["cosine", "l2"])
def test_a_class_with_two_modes(metric):
    labeler, features, labels = two_modes(metric)
    found = labeler(features)
    assert torch.equal(found.labels, labels)
    single = make(num_classes=2, feature_dim=2, metric=metric, threshold=0.0)
    single.fit(features, labels)
    assert not torch.equal(single(features).labels, labels)
    # the second nearest class counts, not the second nearest prototype
    first, second = (references.distance_table(features[:1], x, metric) for x in (labeler.prototypes, features[4:]))
    nearest, other = first[0, :2].min(), references.distance_table(features[:1], labeler.prototypes[2:], metric).min()
    assert found.weights[0].item() == pytest.approx(1 - (nearest / other).item(), rel=1e-3)
    assert second.min() > nearest


def test_fit_and_update_of_several_prototypes_by_hand():
    labeler, *_ = two_modes("l2")
    assert sorted(labeler.prototypes[:2].tolist()) == [[-6.5, 1.0], [5.5, 1.0]]
    assert sorted(labeler.prototypes[2:].tolist()) == [[0.0, 1.0], pytest.approx([0.2, 1.1])]
    before = labeler.prototypes.clone()
    right = int(before[1, 0] > before[0, 0])
    # two samples on the right of class 0, one of them counts a third; the others stay
    labeler.update(torch.tensor([[8.0, 1.0], [1.0, 4.0]]), torch.tensor([0, 0]), torch.tensor([0.8, 0.4]))
    torch.testing.assert_close(labeler.prototypes[right], torch.tensor([(5.5 + 17 / 3) / 2, (1.0 + 2.0) / 2]))
    others = torch.arange(4) != right
    assert torch.equal(labeler.prototypes[others], before[others])


@pytest.mark.parametrize("metric", ["cosine", "l2"])
@pytest.mark.parametrize("cells", [1, 2**23])
def test_fit_replaces_the_class_means(metric, cells, monkeypatch):
    monkeypatch.setattr(nearest_prototypes, "CELLS", cells)
    labeler = trained(metric=metric)
    before = labeler.prototypes.clone()
    features, labels, weights = torch.randn(20, DIM), torch.randint(-1, CLASSES - 1, (20,)), torch.rand(20)
    labeler.fit(features, labels, weights)
    slow = references.SlowPrototypes(CLASSES, metric)
    slow.update(features, labels.tolist(), weights.tolist())
    torch.testing.assert_close(labeler.prototypes[:-1], torch.tensor(slow.prototypes[:-1]), rtol=1e-4, atol=1e-5)
    # an absent class keeps its prototype
    assert torch.equal(labeler.prototypes[-1], before[-1])
    assert labeler.is_seen.all()


def test_fit_replaces_earlier_clusters():
    labeler, *_ = two_modes("cosine")
    labeler.fit(torch.tensor([[1.0, 0.0]]), torch.tensor([0]))
    assert labeler.is_seen.tolist() == [True, False, True, True]
    assert labeler.prototypes[:2].tolist() == [[1.0, 0.0], [0.0, 0.0]]


def passed(labeler, features, sample_idx, sizes, probs=None):
    """Calls `relabel` on batches of these sizes."""
    columns = [features, sample_idx] if probs is None else [features, sample_idx, probs]
    return labeler.relabel(zip(*(column.split(sizes) for column in columns), strict=True))


@pytest.mark.parametrize("cells", [1, 7, 2**23])
@pytest.mark.parametrize("sizes", [[20], [7, 0, 12, 1]])
@pytest.mark.parametrize("threshold", [0.0, 0.9])
def test_a_pass_labels_by_the_mean_confidence_of_all_its_samples(threshold, sizes, cells, monkeypatch):
    monkeypatch.setattr(nearest_prototypes, "CELLS", cells)
    labeler = trained(threshold=threshold)
    features, sample_idx = torch.randn(20, DIM), torch.randperm(NUM_TARGET)[:20]
    slow = references.SlowPrototypes(CLASSES, threshold=threshold)
    slow.prototypes = labeler.prototypes.tolist()
    expected, confidence = slow.label(features)
    before, prototypes = labeler.labels.clone(), labeler.prototypes.clone()
    weights = labeler.weights.fill_(0.25).clone()
    diagnostics = passed(labeler, features, sample_idx, sizes)
    assert labeler.labels[sample_idx].tolist() == expected
    torch.testing.assert_close(labeler.weights[sample_idx].tolist(), confidence, rtol=1e-3, atol=1e-5)
    assert (expected.count(-1) > 0) == (threshold > 0)
    seen = torch.tensor([k in expected for k in range(CLASSES)])
    torch.testing.assert_close(
        labeler.mean_confidence[seen], torch.tensor(slow.mean_confidence)[seen], rtol=1e-4, atol=1e-5
    )
    others = torch.ones(NUM_TARGET, dtype=torch.bool)
    others[sample_idx] = False
    assert torch.equal(labeler.labels[others], before[others])
    assert torch.equal(labeler.weights[others], weights[others])
    assert torch.equal(labeler.prototypes, prototypes)
    changed = (labeler.labels != before).sum().item() / 20
    assert diagnostics["fraction_changed"] == pytest.approx(changed)
    assert diagnostics["class_histogram"] == [(labeler.labels == k).sum().item() for k in range(CLASSES)]


def test_diagnostics_by_hand():
    labeler = make(num_classes=2, feature_dim=2, num_target=5, threshold=0.5)
    assert labeler.diagnostics == {
        "fraction_kept": 0.0,
        "class_histogram": [0, 0],
        "agreement": 0.0,
        "fraction_changed": 0.0,
    }
    labeler.update(torch.eye(2), torch.tensor([0, 1]))
    features, probs = torch.tensor([[1.0, 0.0], [0.0, 2.0], [1.0, 0.9], [0.0, 1.0]]), torch.eye(2)[[0, 0, 0, 1]]
    for changed in (0.75, 0.0):
        labeler(features, sample_idx=torch.arange(4), class_probs=probs)
        # the third is hardly nearer to class 0 than to 1: it is rejected, though the classifier agrees on its class
        assert labeler.labels.tolist() == [0, 1, -1, 1, -1]
        expected = {"fraction_kept": 0.6, "class_histogram": [1, 2], "agreement": 0.75, "fraction_changed": changed}
        assert labeler.diagnostics == expected
    assert labeler.relabel([(features[:2].flip(0), torch.arange(2), probs[:2])]) == {
        "fraction_kept": 0.6,
        "class_histogram": [1, 2],
        "agreement": 0.5,
        "fraction_changed": 1.0,
    }


def test_upstreams_logger_finds_the_diagnostics():
    labeler = trained()
    names = [name for key in list_of_recordable_attributes_list_names() for name in getattr(labeler, key, [])]
    assert names == ["diagnostics"]
    # the logger accepts dicts of numbers and lists
    assert {type(value) for value in labeler.diagnostics.values()} == {float, list}
    assert json.loads(json.dumps(labeler.diagnostics)) == labeler.diagnostics


def test_a_pass_before_any_class_is_seen_rejects_all():
    labeler = make()
    diagnostics = labeler.relabel([(torch.randn(5, DIM), torch.arange(5), torch.rand(5, 2))])
    assert diagnostics == {
        "fraction_kept": 0.0,
        "class_histogram": CLASSES * [0],
        "agreement": 0.0,
        "fraction_changed": 0.0,
    }
    assert labeler.relabel([]) == diagnostics


def test_a_pass_takes_memory_by_its_parts_and_not_by_its_batches(monkeypatch):
    monkeypatch.setattr(nearest_prototypes, "CELLS", 4 * DIM)
    sizes, labeler = [], trained()
    search = FlatIndex.search
    monkeypatch.setattr(FlatIndex, "search", lambda self, rows, k: sizes.append(len(rows)) or search(self, rows, k))
    labeler.relabel([(torch.randn(10, DIM), torch.arange(10))])
    assert sizes == [4, 4, 2]


def test_all_gpus_take_part_in_a_pass_alone(monkeypatch):
    devices = []
    init = FlatIndex.__init__

    def noted(self, references, metric, device, temp_memory):
        devices.append((device, temp_memory))
        init(self, references, metric, "cpu", temp_memory)

    monkeypatch.setattr(FlatIndex, "__init__", noted)
    labeler = trained(device="all", temp_memory=7)
    labeler.relabel([(torch.randn(4, DIM), torch.arange(4)), (torch.randn(4, DIM), torch.arange(4))])
    assert devices == [("auto", 7), ("all", 7)]


BAD_PASSES = [
    ((torch.full((2, DIM), torch.nan), torch.arange(2)), ValueError, "features must be finite"),
    ((torch.zeros(2, DIM), torch.tensor([0, NUM_TARGET])), ValueError, r"sample_idx.* in 0..29, got values from 0 to"),
    ((torch.zeros(2, DIM), None), ValueError, "a pass needs sample_idx with every batch, got None"),
    ((torch.zeros(2, DIM), torch.arange(2), torch.zeros(2)), ValueError, r"class_probs must have shape \(2, K\)"),
    ((torch.zeros(2, DIM), torch.arange(2).float()), TypeError, "sample_idx.* must be an integer tensor"),
]


@pytest.mark.parametrize(("batch", "error", "message"), BAD_PASSES)
def test_a_refused_pass_leaves_the_state_as_it_was(batch, error, message):
    labeler = trained()
    before = states({"labeler": labeler})
    with pytest.raises(error, match=message):
        labeler.relabel([(torch.randn(9, DIM), torch.arange(9)), batch])
    assert_same_states(states({"labeler": labeler}), before)


def test_a_rare_and_hard_class_keeps_samples():
    """One in twenty samples is of class 2, near class 1 and spread out; the first two are easy."""
    labels = torch.tensor([0] * 200 + [1] * 180 + [2] * 20)
    centres = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 1.0, 0.4]])
    spread = torch.tensor([0.05, 0.02, 0.1])[labels, None]
    kept = {}
    for labeler_class in (PrototypeLabeler, OneThreshold):
        torch.manual_seed(0)
        labeler = labeler_class(3, 3, 400, threshold=1.0)
        labeler.fit(centres, torch.arange(3))
        for _ in range(4):
            features = centres[labels] + spread * torch.randn(400, 3)
            labeler.relabel([(features, torch.arange(400))])
            labeler.fit(features, labeler.labels, labeler.weights)
        is_right = (labeler.labels == labels) & (labeler.labels >= 0)
        kept[labeler_class] = [is_right[labels == k].float().mean().item() for k in range(3)]
    assert kept[PrototypeLabeler][2] > 0.5 and min(kept[PrototypeLabeler][:2]) > 0.5
    assert kept[OneThreshold][2] < 0.3


def random_case(generator):
    """A random labeller and features, with ties, duplicates, zeros, odd layouts and dtypes."""

    def number(low, high):
        return int(torch.randint(low, high + 1, (1,), generator=generator))

    classes, per_class, dim, size = number(1, 6), number(1, 3), number(1, 6), number(1, 30)
    metric = ("cosine", "l2")[number(0, 1)]
    labeler = PrototypeLabeler(classes, dim, 1, prototypes_per_class=per_class, metric=metric, threshold=0.0)
    whole = number(0, 2) == 0  # small integers, often equal or zero
    rows = torch.randn(classes * per_class, dim, generator=generator) * 10.0 ** number(-2, 2)
    labeler.prototypes.copy_(rows.round().clamp(-1, 1) if whole else rows)
    labeler.is_seen.copy_(torch.rand(len(rows), generator=generator) < (0.7, 1.0)[number(0, 1)])
    features = torch.randn(size, dim, generator=generator) * 10.0 ** number(-2, 2)
    features = features.round().clamp(-1, 1) if whole else features
    features[number(0, size - 1)] = 0
    features[number(0, size - 1)] = rows[0]
    features = features.to((torch.float16, torch.bfloat16, torch.float32, torch.float64)[number(0, 3)])
    layout = number(0, 2)
    if layout == 1:
        features = features.t().contiguous().t()
    elif layout == 2:
        features = torch.stack([features, features], 2)[:, :, 0]
    return labeler, features.requires_grad_(number(0, 1) == 1)


@pytest.mark.parametrize("seed", range(10))
def test_a_thousand_random_cases_each_equal_brute_force(seed):
    generator = torch.Generator().manual_seed(seed)
    kinds, checked = set(), 0
    for _ in range(1000):
        labeler, features = random_case(generator)
        labels, confidence, distances = labeler(features)
        classes = torch.arange(len(labeler.prototypes)) // labeler.prototypes_per_class
        seen = labeler.is_seen
        kinds.add((labeler.metric, features.dtype, features.requires_grad, features.is_contiguous(), bool(seen.any())))
        if not seen.view(labeler.num_classes, -1).any(1).all():
            assert (labels == -1).all() and (confidence == 0).all() and distances.isinf().all()
            continue
        table = references.distance_table(features, labeler.prototypes[seen], labeler.metric)
        # the nearest prototype of every class, infinite without one
        of_class = torch.stack([table.where(classes[seen] == k, torch.inf).amin(1) for k in range(labeler.num_classes)])
        first, second = of_class.t().sort(1).values[:, :1], of_class.t().sort(1).values[:, 1:2]
        # rounding of float32 is proportional to the numbers that are subtracted
        scale = 1.0 if labeler.metric == "cosine" else table.amax(1) + features.detach().double().square().sum(1)
        error = 2e-6 * (scale + torch.zeros(len(features)))
        assert ((distances - first[:, 0]).abs() <= error).all()
        assert (of_class.t().gather(1, labels[:, None])[:, 0] - first[:, 0] <= error).all()
        if second.numel() and second.isfinite().all():
            expected = (1 - first / second.clamp(min=1e-300))[:, 0]
            sure = (second[:, 0] > 1e3 * error) & (second[:, 0] > 0)
            assert ((confidence - expected).abs() <= 4 * error / second[:, 0].clamp(min=1e-300))[sure].all()
            checked += int(sure.sum())
        else:
            assert (confidence == 1).all()
        assert confidence.dtype == distances.dtype == torch.float32 and not confidence.requires_grad
    assert len(kinds) > 30 and checked > 3000


GOOD_UPDATE = {"features": torch.zeros(4, DIM), "labels": torch.zeros(4).long(), "weights": torch.ones(4)}
BAD_UPDATES = [
    ({"features": torch.zeros(4, 5)}, ValueError, r"features must have shape \(N, 3\), got \(4, 5\)"),
    ({"features": torch.zeros(4, DIM).long()}, TypeError, "features must be a floating point tensor, got torch.int64"),
    ({"features": torch.full((4, DIM), torch.nan)}, ValueError, "features must be finite, got 12 NaN"),
    ({"labels": torch.tensor([0, 1, 2, 4])}, ValueError, r"labels must be in -1..3, got values from 0 to 4"),
    ({"labels": torch.zeros(3).long()}, ValueError, r"labels must have shape \(4,\), got \(3,\)"),
    ({"labels": torch.zeros(4)}, TypeError, "labels must be an integer tensor, got torch.float32"),
    ({"weights": torch.full((4,), 2.0)}, ValueError, "weights must be in 0..1, got values from 2.0 to 2.0"),
    ({"weights": torch.zeros(4, 1)}, ValueError, r"weights must have shape \(4,\), got \(4, 1\)"),
]


@pytest.mark.parametrize(("changed", "error", "message"), BAD_UPDATES)
def test_refused_update_leaves_the_state_as_it_was(changed, error, message):
    labeler = trained()
    before = states({"labeler": labeler})
    for method in (labeler.update, labeler.fit):
        with pytest.raises(error, match=message):
            method(**{**GOOD_UPDATE, **changed})
    assert_same_states(states({"labeler": labeler}), before)


GOOD_CALL = {"features": torch.zeros(4, DIM), "sample_idx": torch.arange(4)}
BAD_CALLS = [
    ({"features": torch.zeros(4, 5)}, ValueError, r"features must have shape \(N, 3\), got \(4, 5\)"),
    ({"features": torch.full((4, DIM), torch.inf)}, ValueError, "features must be finite, got 12 NaN or infinite"),
    ({"sample_idx": torch.tensor([0, 1, 2, 30])}, ValueError, r"sample_idx.* in 0..29, got values from 0 to 30"),
    ({"sample_idx": torch.tensor([0, 1, 2, -1])}, ValueError, r"sample_idx.* in 0..29, got values from -1 to 2"),
    ({"sample_idx": torch.arange(5)}, ValueError, r"sample_idx.* must have shape \(4,\), got \(5,\)"),
    ({"sample_idx": torch.zeros(4)}, TypeError, r"sample_idx.* must be an integer tensor, got torch.float32"),
    ({"class_probs": torch.zeros(3, 2)}, ValueError, r"class_probs must have shape \(4, K\), got \(3, 2\)"),
]


@pytest.mark.parametrize(("changed", "error", "message"), BAD_CALLS)
def test_refused_call_leaves_the_state_as_it_was(changed, error, message):
    labeler = trained()
    before = states({"labeler": labeler})
    with pytest.raises(error, match=message):
        labeler(**{**GOOD_CALL, **changed})
    assert_same_states(states({"labeler": labeler}), before)


def test_sample_idx_out_of_range_names_num_target():
    with pytest.raises(ValueError, match="num_target"):
        make()(torch.zeros(1, DIM), sample_idx=torch.tensor([NUM_TARGET]))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"num_classes": 0}, "num_classes must be at least 1, got 0"),
        ({"feature_dim": 0}, "feature_dim must be at least 1, got 0"),
        ({"num_target": 0}, "num_target must be at least 1, got 0"),
        ({"prototypes_per_class": 0}, "prototypes_per_class must be at least 1, got 0"),
        ({"temp_memory": -1}, "temp_memory must be at least 0 bytes, got -1"),
        ({"metric": "dot"}, r"metric must be one of \('cosine', 'l2'\), got 'dot'"),
        ({"device": "tpu"}, r"device must be one of \('auto', 'cpu', 'all'\), got 'tpu'"),
        ({"momentum": 1.5}, "momentum must be in 0..1, got 1.5"),
        ({"threshold": -1.0}, "threshold must be at least 0, got -1"),
    ],
)
def test_bad_settings_are_refused(changed, message):
    with pytest.raises(ValueError, match=message):
        make(**changed)


def test_int32_labels_and_indices_give_the_same():
    labeler, twin = make(), make()
    features, labels, sample_idx = torch.randn(8, DIM), torch.arange(8) % CLASSES, torch.arange(8)
    labeler.update(features, labels.int())
    labeler(features, sample_idx=sample_idx.int())
    twin.update(features, labels)
    twin(features, sample_idx=sample_idx)
    assert_same_states(states({"labeler": labeler}), states({"labeler": twin}))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_state_follows_the_features_to_their_device():
    labeler, twin = make(), make()
    features, labels, sample_idx = torch.randn(8, DIM), torch.arange(8) % CLASSES, torch.arange(8)
    labeler.update(features.cuda(), labels.cuda())
    result = labeler(features.cuda(), sample_idx=sample_idx.cuda())
    assert result.labels.is_cuda
    assert labeler.prototypes.is_cuda
    twin.update(features, labels)
    assert result.labels.tolist() == twin(features, sample_idx=sample_idx).labels.tolist()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("device", ["auto", "cpu", "all"])
@pytest.mark.parametrize("metric", ["cosine", "l2"])
def test_a_pass_on_a_gpu_gives_the_labels_of_one_on_the_cpu(device, metric):
    settings = {"metric": metric, "prototypes_per_class": 2, "num_target": 500}
    labeler, twin = make(device=device, temp_memory=2**24, **settings), make(**settings)
    features, labels, sample_idx = torch.randn(500, DIM), torch.randint(CLASSES, (500,)), torch.randperm(500)
    twin.fit(features, labels)
    labeler.fit(features.cuda(), labels.cuda())
    expected = twin.relabel([(features, sample_idx)])
    found = labeler.relabel(
        [(part.cuda(), idx.cuda()) for part, idx in zip(features.split(99), sample_idx.split(99), strict=True)]
    )
    assert labeler.labels.is_cuda
    assert torch.equal(labeler.labels.cpu(), twin.labels)
    torch.testing.assert_close(labeler.weights.cpu(), twin.weights, rtol=1e-3, atol=1e-5)
    assert found == expected


@pytest.mark.parametrize("metric", ["cosine", "l2"])
@pytest.mark.parametrize("with_known", [False, True])
def test_a_step_is_a_call_and_two_updates(metric, with_known):
    one, other = make(metric=metric), make(metric=metric)
    for _ in range(4):
        source, target = torch.randn(2, 10, DIM)
        labels, idx, probs = torch.randperm(10) % CLASSES, torch.arange(10), torch.rand(10, CLASSES).softmax(1)
        known = torch.arange(10) % (CLASSES + 1) - 1 if with_known else None
        found = one.step(source, labels, target, idx, probs, known)
        expected = other(target, idx, probs)
        other.update(source, labels)
        is_known = torch.zeros(10, dtype=torch.bool) if known is None else known >= 0
        moved = expected.labels if known is None else known.where(is_known, expected.labels)
        other.update(target, moved, expected.weights.masked_fill(is_known, 1.0))
        assert torch.equal(found.labels, expected.labels)
    for name, buffer in one.named_buffers():
        torch.testing.assert_close(buffer, other.get_buffer(name), msg=name)

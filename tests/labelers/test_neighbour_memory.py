"""Labels by the vote of neighbours: the vote, the memory, and what `PrototypeLabeler` makes of them."""

import copy

import pytest
import torch
import torch.nn.functional as F

from dmsrl_adapt.labelers import PrototypeLabeler, nearest_prototypes, vote

from .. import references
from ..stand_ins import assert_same_states, states

CLASSES, DIM, NUM_TARGET, ASKED = 3, 4, 30, 5


def make(**changed):
    sizes = {"num_classes": CLASSES, "feature_dim": DIM, "num_target": NUM_TARGET, "neighbours": ASKED}
    labeler = PrototypeLabeler(**{**sizes, "threshold": 0.0, **changed})
    labeler.update(torch.randn(9, DIM), torch.arange(9) % labeler.num_classes)
    return labeler


def slow_labels(labeler, queries, remembered):
    """Label and trust of every query by loops: what its nearest remembered samples are by the prototypes."""
    slow = references.SlowPrototypes(CLASSES, metric=labeler.metric, threshold=0.0)
    slow.prototypes = labeler.prototypes.tolist()
    classes, trust = slow.label(remembered)
    labels, leads = [], []
    for row in references.distance_table(queries, remembered, labeler.metric).tolist():
        nearest = sorted(range(len(row)), key=lambda j: row[j])[: labeler.neighbours]
        support = [sum(trust[j] for j in nearest if classes[j] == k) for k in range(CLASSES)]
        first, second, *_ = sorted(support, reverse=True)
        labels.append(support.index(first))
        leads.append((first - second) / len(nearest))
    return labels, torch.tensor(leads)


def test_vote_by_hand():
    classes = torch.tensor([[2, 0, 0], [1, 1, 1], [2, 1, -1], [-1, -1, -1]])
    trust = torch.tensor([[0.6, 0.5, 0.7], [0.3, 0.0, 0.6], [0.5, 0.5, 0.0], [0.0, 0.0, 0.0]])
    labels, lead = vote(classes, trust)
    assert labels.tolist() == [0, 1, 2, -1]
    torch.testing.assert_close(lead, torch.tensor([0.2, 0.3, 0.0, 0.0]))


@pytest.mark.parametrize("metric", ["cosine", "l2"])
@pytest.mark.parametrize("cells", [1, 2**23])
def test_labels_are_those_of_a_slow_vote(metric, cells, monkeypatch):
    monkeypatch.setattr(nearest_prototypes, "CELLS", cells)
    labeler = make(metric=metric)
    features, idx = torch.randn(20, DIM), torch.randperm(NUM_TARGET)[:20]
    expected, trust = slow_labels(labeler, features, features)
    single = make(neighbours=0, metric=metric)
    single.load_state_dict({k: v for k, v in labeler.state_dict().items() if "memory" not in k})
    assert single(features).labels.tolist() != expected
    distances = single(features).distances
    labeler.relabel(zip(features.split([7, 0, 13]), idx.split([7, 0, 13]), strict=True))
    assert labeler.labels[idx].tolist() == expected
    torch.testing.assert_close(labeler.weights[idx], trust, rtol=1e-3, atol=1e-5)
    # a batch of new samples asks those of the pass and itself
    batch, others = torch.randn(6, DIM), torch.tensor([n for n in range(NUM_TARGET) if n not in idx])[:6]
    found = labeler(batch, sample_idx=others)
    expected, trust = slow_labels(labeler, batch, torch.cat([features, batch]))
    assert found.labels.tolist() == expected
    torch.testing.assert_close(found.weights, trust, rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(labeler(features).distances, distances)


def test_a_sample_that_comes_again_is_remembered_once():
    labeler, features = make(), torch.randn(8, DIM)
    labeler(torch.randn(8, DIM), sample_idx=torch.arange(8))
    labeler(features, sample_idx=torch.arange(8))
    assert labeler.memory.is_there.tolist() == 8 * [True] + 22 * [False]
    assert torch.equal(labeler.memory.rows[:8], F.normalize(features, dim=1))
    # asked without an index, nothing is kept
    before = states({"labeler": labeler})
    expected, _ = slow_labels(labeler, torch.ones(1, DIM), features)
    assert labeler(torch.ones(1, DIM)).labels.tolist() == expected
    assert_same_states(states({"labeler": labeler}), before)


def test_neighbours_outvote_a_prototype_that_lies_badly():
    """Two heaps; a few samples of the second are nearer to the first one's prototype."""
    labeler = PrototypeLabeler(2, 1, 9, metric="l2", neighbours=5, threshold=0.0)
    labeler.update(torch.tensor([[0.0], [3.0]]), torch.tensor([0, 1]))
    features = torch.tensor([[-0.1], [0.0], [0.1], [0.2], [1.4], [1.8], [2.0], [2.2], [2.5]])
    labeler.relabel([(features, torch.arange(9))])
    assert labeler.labels.tolist() == 4 * [0] + 5 * [1]
    assert PrototypeLabeler(2, 1, 9, metric="l2").memory is None
    first = labeler.memory.rows[4:5]
    assert torch.cdist(first, labeler.prototypes).argmin() == 0


def test_memory_is_4_bytes_a_number_and_1_a_sample():
    bytes_of = {num: sum(b.nbytes for b in make(num_target=num).buffers()) for num in (10, 110)}
    assert bytes_of[110] - bytes_of[10] == 100 * (4 * DIM + 9)


def test_without_anything_remembered_prototypes_decide():
    labeler = make()
    single = make(neighbours=0)
    single.prototypes.copy_(labeler.prototypes)
    features = torch.randn(7, DIM)
    for ours, theirs in zip(labeler(features), single(features), strict=True):
        assert torch.equal(ours, theirs)
    labeler(torch.zeros(0, DIM), sample_idx=torch.zeros(0).long())
    labeler(features, sample_idx=torch.arange(7))
    assert labeler(torch.zeros(0, DIM)).labels.shape == (0,)


def test_before_any_class_is_seen_samples_are_remembered_and_rejected():
    labeler = PrototypeLabeler(CLASSES, DIM, NUM_TARGET, neighbours=ASKED)
    assert labeler(torch.randn(4, DIM), sample_idx=torch.arange(4)).labels.tolist() == 4 * [-1]
    assert labeler.memory.is_there.sum() == 4


@pytest.mark.parametrize("bad", [(torch.full((2, DIM), torch.nan), torch.arange(2)), (torch.zeros(2, DIM), None)])
def test_a_refused_pass_or_call_leaves_the_memory_as_it_was(bad):
    labeler = make()
    labeler(torch.randn(8, DIM), sample_idx=torch.arange(8))
    before = states({"labeler": labeler})
    with pytest.raises(ValueError):
        labeler.relabel([(torch.randn(9, DIM), torch.arange(9)), bad])
    with pytest.raises(ValueError, match="sample_idx"):
        labeler(torch.randn(2, DIM), sample_idx=torch.tensor([0, NUM_TARGET]))
    assert_same_states(states({"labeler": labeler}), before)


def test_a_run_goes_on_from_its_checkpoint():
    labeler = make()
    labeler(torch.randn(8, DIM), sample_idx=torch.arange(8))
    fresh = PrototypeLabeler(CLASSES, DIM, NUM_TARGET, neighbours=ASKED, threshold=0.0)
    fresh.load_state_dict(copy.deepcopy(labeler.state_dict()))
    for _ in range(2):
        features, idx = torch.randn(9, DIM), torch.randperm(NUM_TARGET)[:9]
        for one in (labeler, fresh):
            one.update(features, one(features, sample_idx=idx).labels)
            one.relabel([(features, idx)])
        assert_same_states(states({"labeler": labeler}), states({"labeler": fresh}))


def test_diagnostics_are_of_the_voted_labels():
    labeler, features, idx = make(), torch.randn(20, DIM), torch.arange(20)
    labels = slow_labels(labeler, features, features)[0]
    probs = F.one_hot(torch.tensor(labels), CLASSES).float()
    diagnostics = labeler.relabel([(features, idx, probs)])
    assert (diagnostics["agreement"], diagnostics["fraction_changed"]) == (1.0, 1.0)
    assert diagnostics["class_histogram"] == [labels.count(k) for k in range(CLASSES)]


def test_bad_setting():
    with pytest.raises(ValueError, match="neighbours must be at least 0, got -1"):
        make(neighbours=-1)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("device", ["auto", "cpu", "all"])
def test_a_pass_on_a_gpu_gives_the_labels_of_one_on_the_cpu(device):
    labeler, twin = make(device=device), make()
    twin.load_state_dict(labeler.state_dict())
    features, idx = torch.randn(30, DIM), torch.randperm(30)
    labeler.relabel([(features.cuda(), idx.cuda())])
    twin.relabel([(features, idx)])
    assert labeler.memory.rows.is_cuda
    assert torch.equal(labeler.labels.cpu(), twin.labels)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_vote_that_is_equal_but_for_rounding_has_no_lead(dtype):
    """The same numbers added up in another order; the first vote decides."""
    trust = torch.rand(200, 8, dtype=dtype)
    orders = torch.stack([torch.randperm(8) for _ in range(200)])
    trust = torch.cat([trust, trust.gather(1, orders)], 1)
    classes = torch.cat([torch.full((200, 8), 3), torch.full((200, 8), 1)], 1)
    shuffled = torch.stack([torch.randperm(16) for _ in range(200)])
    classes, trust = classes.gather(1, shuffled), trust.gather(1, shuffled)
    labels, lead = vote(classes, trust)
    assert torch.equal(labels, classes[:, 0])
    assert (lead == 0).all() and lead.dtype == dtype
    trust[:, 5] += 1e-4
    labels, lead = vote(classes, trust)
    assert torch.equal(labels, classes[:, 5])
    torch.testing.assert_close(lead, torch.full_like(lead, 1e-4 / 16), rtol=0.02, atol=1e-9)


BAD_VOTES = [
    (torch.zeros(3).long(), torch.zeros(3), ValueError, r"classes must have shape \(N, m\), got \(3,\)"),
    (torch.zeros(3, 0).long(), torch.zeros(3, 0), ValueError, "m must be at least 1, got 0"),
    (torch.zeros(3, 2), torch.zeros(3, 2), TypeError, "classes must be an integer tensor, got torch.float32"),
    (torch.zeros(3, 2).long(), torch.zeros(3, 1), ValueError, r"confidence must have shape \(3, 2\), got \(3, 1\)"),
    (torch.zeros(3, 2).long(), torch.zeros(3, 2).int(), TypeError, "confidence must be a floating point tensor"),
]


@pytest.mark.parametrize(("classes", "trust", "error", "message"), BAD_VOTES)
def test_bad_votes_are_refused(classes, trust, error, message):
    with pytest.raises(error, match=message):
        vote(classes, trust)

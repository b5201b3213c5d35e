import pytest
import torch

from dmsrl_adapt.labelers import ArgmaxLabeler


def test_label_is_the_most_probable_class_in_full_trust():
    probs = torch.randn(9, 4).softmax(1)
    labels, trust, distances = ArgmaxLabeler()(torch.zeros(9, 2), class_probs=probs)
    assert distances.tolist() == pytest.approx([1 - max(row) for row in probs.tolist()])
    assert labels.tolist() == [max(range(4), key=row.__getitem__) for row in probs.tolist()]
    assert torch.equal(trust, torch.ones(9))
    assert (labels.dtype, trust.dtype, distances.dtype) == (torch.int64, torch.float32, torch.float32)


def test_empty_batch_gives_no_labels():
    labels, trust, distances = ArgmaxLabeler()(torch.zeros(0, 2), class_probs=torch.zeros(0, 4))
    assert labels.shape == trust.shape == distances.shape == (0,)


def test_what_it_is_told_leaves_no_state():
    labeler = ArgmaxLabeler()
    labeler.update(torch.zeros(3, 2), torch.zeros(3, dtype=torch.long))
    assert not labeler.state_dict()


@pytest.mark.parametrize(("probs", "came"), [(None, "None"), (torch.zeros(4), r"\(4,\)")])
def test_missing_probabilities_are_refused(probs, came):
    with pytest.raises(ValueError, match=rf"class_probs must have shape \(N, K\), got {came}"):
        ArgmaxLabeler()(torch.zeros(4, 2), class_probs=probs)

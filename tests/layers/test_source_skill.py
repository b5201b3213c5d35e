import pytest
import torch
from sklearn.metrics import cohen_kappa_score

from dmsrl_adapt.layers import SourceSkill


def logits_saying(classes, num_classes):
    return torch.eye(num_classes)[classes]


def test_is_cohens_kappa_of_balanced_batches():
    labels = torch.arange(4).repeat(10)
    said = labels.clone()
    said[:12] = (said[:12] + 1) % 4
    skill = SourceSkill(momentum=0.0)
    skill.update(logits_saying(said, 4), labels)
    assert skill().item() == pytest.approx(cohen_kappa_score(labels, said))


def test_starts_at_nothing_and_follows_the_batches():
    skill, labels = SourceSkill(momentum=0.5), torch.tensor([0, 1])
    seen = [skill().item()]
    for said in (labels, labels, 1 - labels):
        skill.update(logits_saying(said, 2), labels)
        seen.append(skill().item())
    assert seen == [0.0, 0.5, 0.75, 0.375]


def test_below_chance_is_no_skill_and_one_class_is_always_told():
    skill = SourceSkill(momentum=0.0)
    skill.update(logits_saying(torch.tensor([1, 0]), 2), torch.tensor([0, 1]))
    assert skill() == 0
    skill.update(torch.zeros(3, 1), torch.zeros(3, dtype=torch.long))
    assert skill() == 1


def test_an_empty_batch_changes_nothing():
    skill = SourceSkill(momentum=0.5)
    skill.update(torch.eye(2), torch.tensor([0, 1]))
    skill.update(torch.zeros(0, 2), torch.zeros(0, dtype=torch.long))
    assert skill() == 0.5


def test_state_dict_goes_on_where_it_was():
    skill, fresh = SourceSkill(), SourceSkill()
    skill.update(torch.eye(2), torch.tensor([0, 1]))
    fresh.load_state_dict(skill.state_dict())
    assert fresh() == skill() > 0


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ((torch.zeros(2), torch.tensor([0, 1])), ValueError, r"class_probs must have shape \(N, 2\), got \(2,\)"),
        (
            (torch.zeros(2, 0), torch.tensor([0, 0])),
            ValueError,
            r"class_probs must have a column for each class, got shape \(2, 0\)",
        ),
        ((torch.eye(2).log(), torch.tensor([0, 1])), ValueError, "class_probs must be finite, got 2 NaN or infinite"),
        ((None, torch.tensor([0, 1])), TypeError, "class_probs must be a floating point tensor, got NoneType"),
        ((torch.eye(2), torch.tensor([0, 2])), ValueError, r"labels must be in 0\.\.1, got values from 0 to 2"),
        ((torch.eye(2), torch.tensor([0])), ValueError, r"labels must have shape \(2,\), got \(1,\)"),
        ((torch.eye(2), torch.tensor([0.0, 1.0])), TypeError, "labels must be an integer tensor, got torch.float32"),
    ],
)
def test_bad_input_is_refused_and_changes_nothing(arguments, error, match):
    skill = SourceSkill(momentum=0.5)
    with pytest.raises(error, match=match):
        skill.update(*arguments)
    assert skill() == 0


@pytest.mark.parametrize("momentum", [-0.1, 1.1])
def test_momentum_out_of_range_is_refused(momentum):
    with pytest.raises(ValueError, match=r"momentum must be in 0\.\.1, got"):
        SourceSkill(momentum)

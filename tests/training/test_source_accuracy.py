import numpy as np
import pytest
import torch
from sklearn.metrics import cohen_kappa_score

from dmsrl_adapt.training import SourceAccuracy


def logits_of(classes, num_classes):
    return torch.eye(num_classes)[classes]


def noisy(labels, num_classes, generator):
    """Predictions of which about half are drawn at random."""
    others = torch.randint(num_classes, labels.shape, generator=generator)
    return labels.where(torch.rand(labels.shape, generator=generator) < 0.5, others)


@pytest.mark.parametrize("momentum", [0.0, 0.7])
def test_is_cohens_kappa_of_the_last_batches_with_decaying_weights(momentum):
    generator = torch.Generator().manual_seed(0)
    accuracy, seen, predictions, weights = SourceAccuracy(4, momentum), [], [], []
    for _ in range(5):
        labels = torch.multinomial(torch.tensor([0.7, 0.2, 0.05, 0.05]), 40, replacement=True, generator=generator)
        predicted = noisy(labels, 4, generator)
        accuracy.update(logits_of(predicted, 4), labels)
        seen, predictions = [*seen, *labels.tolist()], [*predictions, *predicted.tolist()]
        weights = [*(np.array(weights) * momentum), *[1.0] * 40]
    expected = cohen_kappa_score(seen, predictions, sample_weight=weights)
    assert accuracy() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("frequency", [0.5, 0.9, 0.99])
def test_a_constant_guess_is_at_chance_for_any_class_frequency(frequency):
    accuracy = SourceAccuracy(num_classes=5)
    for seed in range(20):
        is_frequent = torch.rand(64, generator=torch.Generator().manual_seed(seed)) < frequency
        labels = torch.where(is_frequent, 0, torch.arange(64) % 4 + 1)
        accuracy.update(logits_of(torch.zeros(64, dtype=torch.long), 5), labels)
        assert accuracy() == pytest.approx(0, abs=1e-4)


def test_digits_do_not_cancel_when_one_class_becomes_nearly_all():
    accuracy, labels = SourceAccuracy(num_classes=5), torch.arange(40) % 5
    accuracy.update(logits_of(torch.zeros(40, dtype=torch.long), 5), labels)
    for _ in range(250):
        accuracy.update(logits_of(torch.zeros(40, dtype=torch.long), 5), torch.zeros(40, dtype=torch.long))
        assert accuracy() < 1e-5


def test_constant_guesses_on_a_sorted_source_are_at_chance():
    accuracy = SourceAccuracy(num_classes=3)
    for label in (0, 0, 0, 1, 1):
        accuracy.update(logits_of(torch.full((8,), label), 3)[:, [0, 0, 0]], torch.full((8,), label))
        assert accuracy() < 1e-6


def test_starts_at_zero_and_follows_the_batches():
    accuracy, labels = SourceAccuracy(num_classes=2, momentum=0.5), torch.tensor([0, 1])
    seen = [accuracy()]
    for predicted in (labels, 1 - labels, labels):
        accuracy.update(logits_of(predicted, 2), labels)
        seen.append(accuracy())
    # correct 2 of 2; 1 of 3 weighted samples; 2.5 of 3.5: minus a half, over a half
    assert seen == pytest.approx([0.0, 1.0, 0.0, 3 / 7])


def test_is_zero_below_chance_and_one_with_a_single_class():
    accuracy = SourceAccuracy(num_classes=2)
    accuracy.update(logits_of(torch.tensor([1, 0]), 2), torch.tensor([0, 1]))
    assert accuracy() == 0
    accuracy = SourceAccuracy(num_classes=1)
    assert accuracy() == 0
    accuracy.update(torch.zeros(3, 1), torch.zeros(3, dtype=torch.long))
    assert accuracy() == 1


def test_an_empty_batch_changes_nothing():
    accuracy = SourceAccuracy(num_classes=2, momentum=0.5)
    accuracy.update(torch.eye(2), torch.tensor([0, 1]))
    before = accuracy.counts.clone()
    accuracy.update(torch.zeros(0, 2), torch.zeros(0, dtype=torch.long))
    assert torch.equal(accuracy.counts, before)


def test_state_dict_round_trip():
    accuracy, fresh = SourceAccuracy(2), SourceAccuracy(2)
    accuracy.update(torch.eye(2), torch.tensor([0, 1]))
    fresh.load_state_dict(accuracy.state_dict())
    assert fresh() == accuracy() > 0


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ((torch.zeros(2), torch.tensor([0, 1])), ValueError, r"class_probs must have shape \(N, 2\), got \(2,\)"),
        ((torch.zeros(2, 3), torch.tensor([0, 1])), ValueError, r"class_probs must have shape \(N, 2\), got \(2, 3\)"),
        ((torch.eye(2).log(), torch.tensor([0, 1])), ValueError, "class_probs must be finite, got 2 NaN or infinite"),
        ((None, torch.tensor([0, 1])), TypeError, "class_probs must be a floating point tensor, got NoneType"),
        ((torch.eye(2), torch.tensor([0, 2])), ValueError, r"labels must be in -1\.\.1, got values from 0 to 2"),
        ((torch.eye(2), torch.tensor([0])), ValueError, r"labels must have shape \(2,\), got \(1,\)"),
        ((torch.eye(2), torch.tensor([0.0, 1.0])), TypeError, "labels must be an integer tensor, got torch.float32"),
    ],
)
def test_bad_input_is_refused_and_changes_nothing(arguments, error, match):
    accuracy = SourceAccuracy(num_classes=2)
    with pytest.raises(error, match=match):
        accuracy.update(*arguments)
    assert not accuracy.counts.any()


@pytest.mark.parametrize("momentum", [-0.1, 1.1])
def test_momentum_out_of_range_is_refused(momentum):
    with pytest.raises(ValueError, match=r"momentum must be in 0\.\.1, got"):
        SourceAccuracy(2, momentum)

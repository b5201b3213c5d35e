"""The confidence of predictions: its formula by a slow loop, its calibration, and what it ranks low."""

import math

import pytest
import torch
from torch import Tensor

from dmsrl_adapt.trainer.confidence import NEIGHBOURS, Confidence, Seen, agreement_of, matching, view_of


def some(count: int, seed: int, scale: float = 3.0) -> Seen:
    """Random outputs for three classes, with four views that are close to them."""
    draw = torch.Generator().manual_seed(seed)
    logits = scale * torch.randn(count, 3, generator=draw)
    views = logits + 2 * torch.randn(4, count, 3, generator=draw)
    return Seen(torch.cat([logits, torch.randn(count, 2, generator=draw)], dim=1), logits, views)


def slow(bank: Seen, confidence: Confidence, features: Tensor, logits: Tensor, views: Tensor) -> list[float]:
    """The probabilities of one sample, number by number."""

    def softmax(values: list[float]) -> list[float]:
        total = sum(map(math.exp, values))
        return [math.exp(value) / total for value in values]

    def cosine(one: Tensor, other: Tensor) -> float:
        return float(one @ other / one.norm() / other.norm())

    nearest = sorted(range(len(bank.logits)), key=lambda row: -cosine(features, bank.features[row]))[:NEIGHBOURS]
    of_views = [softmax(view.tolist()) for view in views]
    of_near = [softmax(bank.logits[row].tolist()) for row in nearest]
    own, mixed = softmax(logits.tolist()), []
    for k in range(3):
        view, near = (sum(row[k] for row in rows) / len(rows) for rows in (of_views, of_near))
        mixed.append(0.5 * math.log(own[k]) + 0.25 * math.log(view) + 0.25 * math.log(near))
    return softmax([value / confidence.temperature for value in mixed])


def test_it_is_what_the_formula_says() -> None:
    bank, new = some(40, seed=0), some(6, seed=1)
    confidence = Confidence.fit(bank)
    found = confidence(new)
    for row in range(6):
        wanted = slow(bank, confidence, new.features[row], new.logits[row], new.views[:, row])
        torch.testing.assert_close(found[row], torch.tensor(wanted), atol=2e-3, rtol=0)


def test_mean_confidence_of_the_target_is_the_agreement_of_its_views() -> None:
    bank = some(300, seed=0, scale=8.0)
    confidence = Confidence.fit(bank)
    assert confidence.agreement is not None and confidence.temperature > 1 and confidence.plain_temperature > 1
    plain = (bank.logits / confidence.plain_temperature).softmax(1).max(1).values.mean()
    assert float(plain) == pytest.approx(confidence.agreement, abs=1e-3)
    assert f"agree in {100 * confidence.agreement:.1f} %" in confidence.description


def test_it_never_makes_a_network_more_certain() -> None:
    certain = some(50, seed=0, scale=0.1)
    same = Seen(certain.features, certain.logits, certain.logits.expand(4, -1, -1))
    one_class = Seen(same.features, same.logits.index_fill(1, torch.tensor(0), 5.0), same.views)
    one_class = Seen(one_class.features, one_class.logits, one_class.logits.expand(4, -1, -1))
    assert Confidence.fit(one_class).temperature == 1.0
    assert matching(lambda T: 0.5, wanted=0.9) == 1.0


def test_disagreeing_views_and_neighbours_lower_it() -> None:
    features = torch.eye(2).repeat_interleave(20, 0)
    logits = torch.tensor([[4.0, 0.0], [0.0, 4.0]]).repeat_interleave(20, 0)
    confidence = Confidence.fit(Seen(features, logits, logits.expand(4, -1, -1)))
    new = torch.tensor([[4.0, 0.0]]).expand(3, 2)
    views = torch.stack([torch.tensor([[4.0, 0.0], [4.0, 0.0], [0.0, 4.0]])] * 4)
    among_others = Seen(torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]]), new, views)
    usual, odd_neighbours, odd_views = confidence(among_others)[:, 0].tolist()
    assert usual > odd_neighbours and usual > odd_views


@pytest.mark.parametrize("count", [0, 1, 5])
def test_few_samples_and_no_views(count: int) -> None:
    seen = some(count, seed=0)
    for one in (seen, Seen(seen.features, seen.logits)):
        confidence = Confidence.fit(one)
        again = Confidence.from_state(confidence.state_dict())
        assert torch.equal(again(some(4, seed=1)), confidence(some(4, seed=1)))
        assert torch.isfinite(confidence(some(4, seed=1))).all()
    assert Confidence.fit(Seen(seen.features, seen.logits)).temperature == 1.0
    torch.testing.assert_close(Confidence()(seen := Seen(torch.ones(2, 5), torch.randn(2, 3))), seen.logits.softmax(1))


def test_agreement_is_the_lesser_of_views_and_neighbours() -> None:
    labels, views = torch.tensor([0, 1]), torch.tensor([[0, 1], [0, 1]])
    assert agreement_of(labels, views, torch.tensor([[1], [0]])) == 0.0
    assert agreement_of(labels, views, torch.tensor([[0], [1]])) == 1.0


def test_views_are_the_same_at_every_call_and_disturb_no_generator() -> None:
    images, before = torch.randn(2, 3, 8, 8), torch.get_rng_state()
    assert torch.equal(view_of(images, 1), view_of(images, 1)) and not torch.equal(view_of(images, 1), images)
    assert not torch.equal(view_of(images, 1), view_of(images, 2))
    assert torch.equal(torch.get_rng_state(), before)

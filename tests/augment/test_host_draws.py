import pytest
import torch

from dmsrl_adapt.augment.host_draws import drawn_number, drawn_rows


@pytest.mark.parametrize("probability", [0.0, 0.3, 1.0])
def test_rows_are_drawn_with_their_probability(probability):
    rows, draws = drawn_rows(2000, probability)
    assert len(rows) / 2000 == pytest.approx(probability, abs=0.05)
    assert len(rows) == len(draws) and (draws < probability).all()
    assert torch.equal(rows, rows.unique())


def test_the_same_seed_draws_the_same():
    drawn = []
    for _ in range(2):
        torch.manual_seed(0)
        drawn.append((drawn_rows(50, 0.5).rows.tolist(), [drawn_number(3) for _ in range(40)]))
    assert drawn[0] == drawn[1]
    assert set(drawn[0][1]) == {0, 1, 2}

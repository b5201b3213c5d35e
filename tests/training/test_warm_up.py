import math

import pytest

from dmsrl_adapt.training import WarmUp


@pytest.mark.parametrize("progress", [0.0, 0.1, 0.3, 0.5, 1.0])
def test_factors_are_the_published_ones(progress):
    assert WarmUp.NONE(progress) == 1
    assert WarmUp.LINEAR(progress) == progress
    assert WarmUp.SIGMOID(progress) == pytest.approx(2 / (1 + math.exp(-10 * progress)) - 1)


def test_a_name_is_as_good_as_a_member():
    assert WarmUp("sigmoid") is WarmUp(WarmUp.SIGMOID) is WarmUp.SIGMOID
    assert WarmUp.LINEAR == "linear"
    with pytest.raises(ValueError, match=r"warmup must be one of \['none', 'linear', 'sigmoid'\], got True"):
        WarmUp(True)

import pytest
import torch

from dmsrl_adapt.losses import ClassBalance, class_balance

from .. import references


def test_balance_of_classes_by_hand():
    # shares 1/2, 1/4, 1/4, 0 and 1/4, 1/4, 1/2, 0
    mass = torch.tensor([[2.0, 1.0, 1.0, 0.0], [0.2, 0.2, 0.4, 0.0]])
    torch.testing.assert_close(class_balance(mass), torch.tensor([0.25, 1.0, 0.25, 0.0]))
    mass[1] = 0
    assert class_balance(mass).tolist() == [1, 1, 1, 1]


@pytest.mark.parametrize("num_domains", [2, 3])
def test_weights_and_means_of_three_batches_equal_slow_reference(num_domains):
    torch.manual_seed(0)
    balance, mass = ClassBalance(num_domains, 4), torch.zeros(num_domains, 4)
    for _ in range(3):
        probs, domains = torch.randn(11, 4).softmax(1), torch.randint(num_domains, (11,))
        domains[:num_domains] = torch.arange(num_domains)
        weights = balance(probs, domains)
        torch.testing.assert_close(probs * weights, references.balanced_class_probs(mass, domains.tolist(), probs))
        torch.testing.assert_close(balance.class_mass, mass)


def test_class_mass_is_a_running_mean_of_training_batches():
    balance, domains = ClassBalance(2, 2, momentum=0.75), torch.tensor([0, 0, 1])
    balance(torch.tensor([[1.0, 0], [0, 1], [0.2, 0.4]]), domains)
    torch.testing.assert_close(balance.class_mass, torch.tensor([[0.5, 0.5], [0.2, 0.4]]))
    balance(torch.tensor([[1.0, 0], [1, 0]]), domains[:2])
    expected = torch.tensor([[0.75 * 0.5 + 0.25, 0.75 * 0.5], [0.2, 0.4]])
    torch.testing.assert_close(balance.class_mass, expected)
    weights = balance.eval()(torch.tensor([[0.0, 1], [0, 1]]), domains[:2])
    torch.testing.assert_close(balance.class_mass, expected)
    assert torch.equal(weights, class_balance(balance.class_mass))


def test_the_state_is_the_class_mass_alone():
    balance = ClassBalance(3, 4)
    assert {name: tuple(value.shape) for name, value in balance.state_dict().items()} == {"class_mass": (3, 4)}
    assert list(balance.parameters()) == []


@pytest.mark.parametrize("num_classes", [1, 3])
def test_an_empty_batch_changes_nothing(num_classes):
    balance = ClassBalance(2, num_classes)
    empty = torch.zeros(0, num_classes), torch.zeros(0, dtype=torch.long)
    assert balance(*empty).tolist() == num_classes * [1]
    balance(torch.ones(2, num_classes), torch.tensor([0, 1]))
    before = balance.class_mass.clone()
    balance(*empty)
    assert torch.equal(balance.class_mass, before)


def test_a_domain_that_was_not_seen_yet_leaves_every_class_in_full():
    assert ClassBalance(2, 2)(torch.tensor([[0.9, 0.1]]), torch.tensor([0])).tolist() == [1, 1]


def test_no_gradient_flows_into_class_probs():
    probs = torch.full((2, 2), 0.5, requires_grad=True)
    balance = ClassBalance(2, 2)
    assert not balance(probs, torch.tensor([0, 1])).requires_grad
    assert not balance.class_mass.requires_grad


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_and_half_probabilities_are_computed_in_float32(dtype):
    probs, domains = torch.tensor([[0.75, 0.25], [0.5, 0.5], [0.25, 0.75]]).to(dtype), torch.tensor([0, 0, 1])
    expected = ClassBalance(2, 2)(probs.float(), domains)
    with torch.autocast("cpu", dtype=dtype):
        weights = ClassBalance(2, 2)(probs, domains)
    assert weights.dtype == torch.float32
    assert torch.equal(weights, expected)


@pytest.mark.parametrize("dtype", [torch.int32, torch.uint8])
def test_any_integer_domains_give_the_same(dtype):
    """Torch takes uint8 indices for a mask."""
    probs, domains = torch.rand(5, 3), torch.tensor([0, 1, 1, 0, 1])
    assert torch.equal(ClassBalance(2, 3)(probs, domains.to(dtype)), ClassBalance(2, 3)(probs, domains))


BAD = [
    ({"class_probs": torch.zeros(4, 3)}, ValueError, r"class_probs must have shape \(4, 2\), got \(4, 3\)"),
    ({"class_probs": torch.full((4, 2), 1.5)}, ValueError, r"class_probs must be in 0..1.*, got values from 1.5"),
    ({"class_probs": torch.full((4, 2), torch.nan)}, ValueError, r"class_probs must be in 0..1.*, got values from nan"),
    ({"domains": torch.tensor([0, 1, 2, 0])}, ValueError, r"domains must be in 0..1, got values from 0 to 2"),
    ({"domains": torch.zeros(4)}, TypeError, "domains must be an integer tensor, got torch.float32"),
    ({"domains": torch.zeros(3).long()}, ValueError, r"domains must have shape \(4,\), got \(3,\)"),
]


@pytest.mark.parametrize(("changed", "error", "message"), BAD)
def test_bad_input_says_what_was_wanted_and_what_came_and_changes_nothing(changed, error, message):
    balance, good = ClassBalance(2, 2), {"class_probs": torch.ones(4, 2), "domains": torch.zeros(4).long()}
    with pytest.raises(error, match=message):
        balance(**{**good, **changed})
    assert not balance.class_mass.any()


def test_arguments_out_of_range_are_refused():
    with pytest.raises(ValueError, match="num_domains must be at least 2, got 1"):
        ClassBalance(1, 2)
    with pytest.raises(ValueError, match="num_classes must be at least 1, got 0"):
        ClassBalance(2, 0)
    for momentum in (-0.1, 1.1):
        with pytest.raises(ValueError, match=r"momentum must be in 0\.\.1, got"):
            ClassBalance(2, 2, momentum)


def test_bad_mass_is_refused():
    with pytest.raises(ValueError, match=r"class_mass must have shape \(M, K\), got \(3,\)"):
        class_balance(torch.ones(3))
    with pytest.raises(TypeError, match=r"class_mass must be a floating point tensor, got torch.int64"):
        class_balance(torch.ones(2, 3).long())

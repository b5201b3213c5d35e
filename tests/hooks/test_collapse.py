import math
import warnings

import pytest
import torch
from pytorch_adapt.hooks import ClassifierHook

from dmsrl_adapt import DMSRLHook, PrototypeLabeler, attach_dmsrl, dmsrl_components
from dmsrl_adapt.hooks import CollapseHook
from dmsrl_adapt.losses import club_bound
from dmsrl_adapt.losses.club_loss import standardised
from dmsrl_adapt.parts import TwoBranchMI
from dmsrl_adapt.recipe import DEFAULT, PUBLISHED
from dmsrl_adapt.training.collapse_watch import CollapseWatch

from ..stand_ins import CLASSES, DIM, NUM_TARGET, SIZE, make_batch, make_models, make_opts, states

WINDOW = 20 * CLASSES
STEPS = math.ceil(WINDOW / SIZE)


class Run:
    """Training with a recipe and the shortest possible window."""

    def __init__(self, recipe, lr=0.01):
        parts = dmsrl_components(DIM, CLASSES, NUM_TARGET, recipe)
        self.models, self.misc = {**make_models(), **parts.models}, parts.misc
        self.opts = dict(zip(self.models, make_opts(self.models, lr), strict=True))
        self.hook = DMSRLHook(list(self.opts.values()), recipe)
        self.hook.collapse.watch.samples = WINDOW
        self.shift = 0  # added to the target images

    def windows(self, count=1):
        """Trains for a number of windows and returns the last losses."""
        for number in range(count * STEPS):
            batch = {**make_batch(number), "progress": 1.0}
            batch["target_imgs"] = batch["target_imgs"] + self.shift
            losses = self.hook({**self.models, **self.misc, **batch})[1]["total_loss"]
        assert all(math.isfinite(loss) for loss in losses.values())
        assert all(value.isfinite().all() for value in states({**self.models, **self.misc}).values())
        return losses


def one_class():
    """The classifier predicts class 0 everywhere, and the published recipe labels by its predictions."""
    run = Run(PUBLISHED)
    run.models["C"].net.bias.data[0] = 1000
    return run, {"largest_class": 1.0, "missing_classes": 2 / 3}


def class_never_predicted():
    run = Run(DEFAULT)
    run.models["C"].net.bias.data[1] = -1000
    return run, {"missing_classes": 1 / 3}


def all_rejected():
    run = Run(DEFAULT)
    run.misc["pseudo_labeler"] = PrototypeLabeler(CLASSES, DIM, NUM_TARGET, threshold=1e9)
    return run, {"rejected": 1.0}


def critic_wins(recipe):
    """The target is far from the source, and the features are not trained."""
    run = Run(recipe)
    run.opts["mi_critic"].param_groups[0]["lr"] = 0.1 / recipe.get("mi").weight
    for module in (run.models["G"], run.models["margin_metric"]):
        module.requires_grad_(False)
    run.models["G"].net, run.shift = torch.nn.Linear(6, DIM).requires_grad_(False), 20
    return run, {"critic_accuracy": 1.0}


def no_length():
    run = Run(DEFAULT)
    last = run.models["G"].net[-1]
    last.requires_grad_(False)
    last.weight.data.zero_()
    last.bias.data.zero_()
    return run, {"zero_features": 1.0}


def negative_bound():
    """The estimator is trained to be wrong, and then frozen together with the features it estimates."""
    run = Run(DEFAULT.replace(TwoBranchMI(weight=0.3)))
    G, branch, estimator = (run.models[key] for key in ("G", "mi_branch", "mi_estimator"))
    batch = make_batch()
    features = G(torch.cat([batch["src_imgs"], batch["target_imgs"]])).detach()
    given = branch(features, torch.arange(2 * SIZE) // SIZE).features.detach()
    worse, bound = torch.optim.SGD(estimator.parameters(), lr=1e-2), torch.zeros(())
    while bound > -5:
        worse.zero_grad()
        bound = club_bound(standardised(features), *estimator._gaussian(estimator.estimator(given)))
        bound.backward()
        worse.step()
    for module in (G, branch, estimator):
        module.requires_grad_(False)
    return run, {"negative_bounds": 1.0}


PROVOKED = {
    "one class": one_class,
    "class never predicted": class_never_predicted,
    "all rejected": all_rejected,
    "critic wins": lambda: critic_wins(PUBLISHED),
    "critic of each class wins": lambda: critic_wins(DEFAULT.replace("mi", entropy_conditioning=False)),
    "no length": no_length,
    "negative bound": negative_bound,
}


@pytest.mark.parametrize("make", PROVOKED.values(), ids=PROVOKED)
def test_collapse_warns_once_is_always_logged_and_training_continues(make):
    run, expected = make()
    with pytest.warns(UserWarning) as caught:
        run.windows(4)
    messages = [str(one.message) for one in caught if "docs/robustness.md" in str(one.message)]
    assert len(messages) == len(set(messages)) and len(messages) >= len(expected)
    assert expected.keys() <= run.hook.collapse.watch.warned
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run.windows(2)
    for key, fraction in expected.items():
        assert run.hook.collapse.diagnostics[key] == pytest.approx(fraction, abs=0.05)


def test_a_healthy_run_gives_no_warning():
    run = Run(DEFAULT, lr=0.05)
    run.windows(4)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        watch = run.hook.collapse.watch
        watch.warned.clear()
        run.windows(2)
    assert run.hook.collapse.diagnostics["missing_classes"] == 0


def test_a_network_that_diverged_stops_training_with_the_reason():
    run = Run(DEFAULT)
    run.windows(1)
    run.models["G"].net[-1].weight.data[0, 0] = torch.inf
    before = states({**run.models, **run.misc})
    with pytest.raises(ValueError, match="features must be finite, got 8 NaN or infinite values of 40"):
        run.windows(1)
    after = states({**run.models, **run.misc})
    kept = [key for key in before if "running" not in key and "num_batches" not in key]
    assert all(torch.equal(before[key], after[key]) for key in kept)


def test_hosts_are_watched_too():
    models = make_models()
    hook = attach_dmsrl(ClassifierHook(make_opts(models)))
    hook.collapse.watch.samples = SIZE
    parts = dmsrl_components(DIM, CLASSES, NUM_TARGET, DEFAULT.without("mi", "margin"))
    models["C"].net.bias.data[1] = -1000
    with pytest.warns(UserWarning, match=r"33 % of the classes were never predicted on the target, over 64 samples"):
        for number in range(STEPS):
            hook({**models, **parts.misc, **make_batch(number)})


def test_a_window_has_samples_and_one_class_alone_is_no_sign():
    with pytest.raises(ValueError, match="samples must be at least 1, got 0"):
        CollapseWatch(samples=0)
    watch = CollapseWatch(samples=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        watch.add(torch.ones(20, 2), torch.ones(20, 1), torch.zeros(20).long())
    assert watch.diagnostics == {"missing_classes": 0.0, "rejected": 0.0, "zero_features": 0.0}


def test_an_empty_context_gives_nothing():
    assert CollapseHook()({}, {}) == ({}, {})


def test_upstreams_logger_finds_the_diagnostics():
    run = Run(DEFAULT)
    assert {"missing_classes", "rejected"} > set(run.hook.collapse.diagnostics) == set()
    run.windows(1)
    (name,) = run.hook.collapse._record_these
    assert {"missing_classes", "rejected", "largest_class", "zero_features"} <= set(getattr(run.hook.collapse, name))

"""Generated input, valid and invalid: the right result, or one error with the values in it and no change of state.

DMSRL_ADAPT_CASES says how many cases there are: `DMSRL_ADAPT_CASES=5500 sh tests/run.sh -s tests/test_bad_input.py`
makes that many, in some minutes, and prints the number.
"""

import copy
import io
import os
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

hypothesis = pytest.importorskip("hypothesis")
from hypothesis import HealthCheck, given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from pytorch_adapt.containers import Misc, Models  # noqa: E402

from benchmarks.cli import main  # noqa: E402
from benchmarks.tasks.own_data import load_own  # noqa: E402
from dmsrl_adapt import DMSRL, DMSRLHook, augment, backbones, dmsrl_components, labelers, losses, training  # noqa: E402

CASES = int(os.environ.get("DMSRL_ADAPT_CASES", "400"))
K, D, N, NUM_TARGET = 3, 4, 6, 20
COUNTS: Counter[str] = Counter()
FLOATS = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
INTEGERS = (torch.int64, torch.int32, torch.uint8, torch.int8)


def cases(fraction):
    """Settings with this fraction of all cases."""
    checks = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]
    examples = max(int(CASES * fraction), 5)
    return settings(max_examples=examples, deadline=None, derandomize=True, database=None, suppress_health_check=checks)


REFUSALS = (ValueError, TypeError, KeyError, OSError)


def outcome(name, call, modules=(), refusals=REFUSALS):
    """Returns the result of a call, or None if it raised a clear error and changed nothing."""
    before = [copy.deepcopy(module.state_dict()) for module in modules]
    try:
        result = call()
    except refusals as error:
        assert str(error), "an error must say why"
        for module, state in zip(modules, before, strict=True):
            now = module.state_dict()
            assert all(torch.equal(state[key], now[key]) for key in state), f"{name} changed by a refused call: {error}"
        COUNTS[f"{name} refused"] += 1
        return None
    COUNTS[f"{name} answered"] += 1
    return result


def assert_finite(result):
    """Checks every floating tensor of a result."""
    for one in [result] if isinstance(result, Tensor) else result:
        if isinstance(one, Tensor) and one.is_floating_point():
            assert one.isfinite().all(), one


@st.composite
def rows(draw, size=N, dim=D, good=6):
    """Features, mostly valid ones."""
    kind = draw(st.sampled_from(["good"] * good + ["dtype", "shape", "value", "meta", "huge", "none"]))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 99)))
    values = torch.randn(size, dim, generator=generator)
    if kind == "good":
        return values.to(draw(st.sampled_from(FLOATS)))
    if kind == "dtype":
        return (10 * values).to(draw(st.sampled_from((*INTEGERS, torch.bool, torch.complex64))))
    if kind == "shape":
        return torch.zeros(draw(st.lists(st.integers(0, 5), max_size=4)))
    if kind == "value":
        values[draw(st.integers(0, size - 1)) if size else slice(0)] = draw(st.sampled_from([torch.nan, torch.inf]))
        return values
    if kind == "none":
        return draw(st.sampled_from([None, 3, "features", [[1.0, 2.0]]]))
    return values.to("meta") if kind == "meta" else 1e4 * values


@st.composite
def numbers(draw, size=N, lowest=-1, highest=K - 1, good=6):
    """Labels, domains or indices, mostly valid ones."""
    kind = draw(st.sampled_from(["good"] * good + ["range", "dtype", "shape", "meta", "none"]))
    values = torch.tensor([draw(st.integers(lowest, highest)) for _ in range(size)], dtype=torch.int64)
    if kind == "good":
        kinds = INTEGERS if lowest >= 0 else (torch.int64, torch.int32, torch.int8)
        return values.to(draw(st.sampled_from(kinds)))
    if kind == "range":
        values[:1] = draw(st.sampled_from([lowest - 1, highest + 1, 10_000, -(2**40)]))
    if kind == "dtype":
        return values.to(draw(st.sampled_from([torch.float32, torch.bool])))
    if kind == "shape":
        return values[:, None] if draw(st.booleans()) else torch.zeros(draw(st.integers(0, 9)), dtype=torch.int64)
    if kind == "none":
        return draw(st.sampled_from([None, 3, "labels", [0, 1]]))
    return values.to("meta") if kind == "meta" else values


@st.composite
def fractions(draw, size=N):
    """Weights, mostly valid ones or None."""
    kind = draw(st.sampled_from(["none"] * 3 + ["good"] * 3 + ["range", "nan", "dtype", "shape", "meta"]))
    values = torch.rand(size, generator=torch.Generator().manual_seed(draw(st.integers(0, 9))))
    if kind == "range":
        values[:1] = draw(st.sampled_from([-0.5, 1.5]))
    if kind == "nan":
        values[:1] = torch.nan
    if kind == "dtype":
        return values.long()
    if kind == "shape":
        return values[:, None]
    return {"none": None, "meta": values.to("meta")}.get(kind, values)


@st.composite
def probabilities(draw, size=N):
    """Class probabilities, mostly valid ones."""
    kind = draw(st.sampled_from(["good"] * 4 + ["none", "range", "nan", "shape", "meta"]))
    values = torch.rand(size, K, generator=torch.Generator().manual_seed(draw(st.integers(0, 9)))).softmax(1)
    if kind == "range":
        values[:1] = 3.0
    if kind == "nan":
        values[:1] = torch.nan
    return {"none": None, "shape": values[:, 0], "meta": values.to("meta")}.get(kind, values)


SIZES = st.sampled_from([0, 1, 2, N])


@cases(0.2)
@given(st.data(), SIZES, st.sampled_from(["cosine", "centers", "disparity", "mi", "mi of classes", "club", "branch"]))
def test_losses_are_finite_or_one_error(data, size, kind):
    features, domains = data.draw(rows(size)), data.draw(numbers(size, 0, 1))
    if kind in ("cosine", "centers"):
        loss = {"cosine": losses.CosineMarginLoss, "centers": losses.MarginMetricLoss}[kind](K, D)
        labels, weights = data.draw(numbers(size)), data.draw(fractions(size))
        result = outcome(kind, lambda: loss(features, labels, domains, weights), [loss])
    elif kind == "disparity":
        loss, classes = losses.MarginDisparityLoss(K, D, hidden=8), data.draw(numbers(size, 0))
        result = outcome(kind, lambda: loss(features, classes, domains), [loss])
    elif kind.startswith("mi"):
        loss = losses.AdversarialMILoss(D, K if kind == "mi of classes" else None, hidden=8)
        probs, strength = data.draw(probabilities(size)), data.draw(st.sampled_from([0.0, 1.0, -1.0]))
        result = outcome(kind, lambda: loss(features, domains, probs, strength), [loss])
    elif kind == "club":
        loss, other = losses.CLUBLoss(D, D, hidden=8), data.draw(rows(size))
        result = outcome(kind, lambda: loss(features, other), [loss])
    else:
        loss = losses.DomainBranch(D, hidden=8)
        result = outcome(kind, lambda: loss(features, domains), [loss])
    if result is not None:
        assert_finite(result)


@cases(0.2)
@given(st.data(), SIZES, st.sampled_from(["forward", "update", "fit", "relabel"]), st.sampled_from([1, 2]))
def test_labeler_stays_as_it_was_after_an_error(data, size, method, per_class):
    labeler = labelers.PrototypeLabeler(K, D, NUM_TARGET, prototypes_per_class=per_class)
    labeler.update(torch.eye(K, D), torch.arange(K))
    features, idx = data.draw(rows(size)), data.draw(numbers(size, 0, NUM_TARGET - 1))
    probs, labels, weights = data.draw(probabilities(size)), data.draw(numbers(size)), data.draw(fractions(size))
    calls = {
        "forward": lambda: labeler(features, idx, probs),
        "update": lambda: labeler.update(features, labels, weights),
        "fit": lambda: labeler.fit(features, labels, weights),
        "relabel": lambda: labeler.relabel([(torch.eye(K, D), torch.arange(K)), (features, idx, probs)]),
    }
    outcome(method, calls[method], [labeler])
    assert all(value.isfinite().all() for value in labeler.state_dict().values())
    assert labeler.labels.min() >= -1 and labeler.labels.max() < K


@cases(0.15)
@given(
    st.data(),
    st.sampled_from(
        ["probs", "certainty", "consistency", "mcc", "argmax", "nearest", "maps", "convolution", "affine", "accuracy"]
    ),
)
def test_functions_answer_or_raise_one_error(data, kind):
    values = data.draw(rows(dim=K))
    as_images = values[:, :, None, None] if isinstance(values, Tensor) and values.ndim == 2 else values
    calls = {
        "probs": lambda: losses.class_probs(values),
        "certainty": lambda: losses.certainty(losses.class_probs(values)),
        "consistency": lambda: losses.consistency_loss(values, data.draw(probabilities())),
        "argmax": lambda: labelers.ArgmaxLabeler()(values, class_probs=data.draw(probabilities())),
        "nearest": lambda: labelers.nearest(
            values,
            data.draw(rows(dim=K)),
            data.draw(st.integers(-1, 8)),
            data.draw(st.sampled_from(["cosine", "l2", "?"])),
        ),
        "maps": lambda: backbones.StoredMaps([(1, 1, 2), (1, 1, 1)])(values),
        "convolution": lambda: augment.RandomConvolution()(as_images),
        "affine": lambda: augment.RandomAffine()(as_images),
        "mcc": lambda: losses.MinimumClassConfusionLoss()(values),
        "accuracy": lambda: training.SourceAccuracy(K).update(values, data.draw(numbers())),
    }
    outcome(kind, calls[kind])


@cases(0.1)
@given(
    st.sampled_from(["cosine", "centers", "disparity", "mi", "club", "branch", "labeler", "progress", "parts"]),
    st.data(),
)
def test_sizes_are_taken_or_one_error(kind, data):
    size = st.one_of(st.integers(-2, 4), st.sampled_from([1_000, 0.5, "3", None]))
    first, second = data.draw(size), data.draw(size)
    calls = {
        "cosine": lambda: losses.CosineMarginLoss(first, second),
        "centers": lambda: losses.MarginMetricLoss(first, second),
        "disparity": lambda: losses.MarginDisparityLoss(first, second, hidden=2),
        "mi": lambda: losses.AdversarialMILoss(first, second, hidden=2),
        "club": lambda: losses.CLUBLoss(first, second, hidden=2),
        "branch": lambda: losses.DomainBranch(first, second, hidden=2),
        "labeler": lambda: labelers.PrototypeLabeler(first, second, 5),
        "progress": lambda: training.TrainingProgress(first),
        "parts": lambda: dmsrl_components(first, second, 5),
    }
    outcome(kind, calls[kind])


@st.composite
def batches(draw):
    """A batch of upstream's keys, sometimes with one of them changed."""
    sizes = [draw(st.sampled_from([0, 1, 2] + [N] * 9)) for _ in range(2)]
    batch = {
        "src_imgs": draw(rows(sizes[0], good=40)),
        "src_labels": draw(numbers(sizes[0], 0, good=40)),
        "target_imgs": draw(rows(sizes[1], good=40)),
        "target_sample_idx": draw(numbers(sizes[1], 0, NUM_TARGET - 1, good=40)),
        "progress": draw(st.sampled_from([0.0, 0.5, 1.0] * 6 + [-1.0, torch.nan])),
    }
    wrong = draw(st.sampled_from([None] * 20 + [*batch]))
    return {key: value for key, value in batch.items() if key != wrong}


class Floats(nn.Module):
    """Takes numbers of any type."""

    def forward(self, x):
        return x.float()


def make_models(classes=K):
    parts = dmsrl_components(D, classes, NUM_TARGET)
    net = nn.Sequential(Floats(), nn.Linear(D, 8), nn.LayerNorm(8), nn.Tanh(), nn.Linear(8, D))
    return {"G": net, "C": nn.Linear(D, classes), **parts.models}, parts.misc


@cases(0.25)
@given(batches(), st.sampled_from(["hook", "adapter"]))
def test_steps_are_finite_or_leave_everything_as_it_was(batch, kind):
    models, misc = make_models()
    if kind == "hook":
        hook = DMSRLHook([torch.optim.SGD([p for one in models.values() for p in one.parameters()], lr=0.1)])
        step = lambda: hook({**models, **misc, **batch})[1]  # noqa: E731
    else:
        adapter = DMSRL(models=Models(models), misc=Misc(misc))
        step = lambda: adapter.training_step(batch)  # noqa: E731
    # what a network cannot take is its own RuntimeError
    losses = outcome(kind, step, [*models.values(), *misc.values()], (*REFUSALS, RuntimeError))
    if losses is not None:
        assert all(np.isfinite(loss) for loss in losses["total_loss"].values())
        values = [value for one in (*models.values(), *misc.values()) for value in one.state_dict().values()]
        assert all(value.isfinite().all() for value in values)


@pytest.mark.parametrize("classes", [1, 10_000])
def test_one_class_and_ten_thousand(classes):
    models, misc = make_models(classes)
    hook = DMSRLHook([torch.optim.SGD([p for one in models.values() for p in one.parameters()], lr=0.1)])
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(classes, (N,), generator=generator)
    images = torch.randn(2, N, D, generator=generator)
    batch = {"src_imgs": images[0], "src_labels": labels, "target_imgs": images[1]}
    losses = hook({**models, **misc, **batch, "target_sample_idx": torch.arange(N)})[1]["total_loss"]
    assert all(np.isfinite(loss) for loss in losses.values())


def encoded(draw):
    """An encoded image file, mostly valid."""
    kind = draw(st.sampled_from(["good"] * 80 + ["cut", "empty", "text", "flipped"]))
    file = io.BytesIO()
    side = draw(st.integers(1, 9))
    mode = draw(st.sampled_from(["RGB", "L", "RGBA", "P", "I;16", "1"]))
    Image.new(mode, (side, 9)).save(file, "PNG")
    raw = bytearray(file.getvalue())
    if kind == "cut":
        return bytes(raw[: draw(st.integers(1, len(raw) - 1))])
    if kind == "flipped":
        raw[draw(st.integers(0, len(raw) - 1))] ^= 255
    return {"empty": b"", "text": b"no image"}.get(kind, bytes(raw))


def fill(draw, folder):
    """A domain as a user may have it, with or without class folders, with images or other files."""
    for name in draw(st.sampled_from([["a", "b"]] * 12 + [["a"], ["a", "b", "c"], [".", "a"], []])):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number in range(draw(st.sampled_from([0, 1] + [6] * 12))):
            (folder / name / f"{number}.png").write_bytes(encoded(draw))
    if draw(st.integers(0, 9)) == 0:
        (folder / "dangling.png").symlink_to("nowhere")


def arrays(draw, path):
    """A file of arrays, some of them invalid."""
    images = draw(
        st.sampled_from(
            [
                np.zeros((12, 5, 5), np.uint8),
                np.zeros((12, 5, 5, 3), np.uint8),
                np.zeros((12, 5), np.uint8),
                np.zeros((12, 5, 5)),
                np.zeros((0, 5, 5), np.uint8),
                np.array([{}], dtype=object),
            ]
        )
    )
    labels = draw(
        st.sampled_from(
            [np.arange(12) % 2, np.arange(11), np.zeros(12), np.full(12, -1), np.array(["a"] * 12), np.array(3)]
        )
    )
    np.savez(path, **draw(st.sampled_from([{"images": images, "labels": labels}, {"X": images, "y": labels}, {}])))
    if draw(st.integers(0, 4)) == 0:
        raw = path.read_bytes()
        path.write_bytes(raw[: draw(st.integers(0, len(raw)))])


@cases(0.08)
@given(st.data())
def test_own_data_is_a_task_or_one_error(data):
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for domain in ("source", "target"):
            path = Path(folder) / domain
            kind = data.draw(st.sampled_from(["folder"] * 6 + ["arrays", "missing"]))
            if kind == "folder":
                path.mkdir()
                fill(data.draw, path)
            elif kind == "arrays":
                path = path.with_suffix(".npz")
                arrays(data.draw, path)
            paths.append(path)
        task = outcome("own data", lambda: load_own(*paths, None, 8, "small"))
        if task is not None:
            assert len(task.classes) >= 2 and task.source.known_labels.max() < len(task.classes)


@cases(0.02)
@given(st.data())
def test_wrong_options_end_the_command_line_with_an_error(data):
    with tempfile.TemporaryDirectory() as folder:
        wrong = {
            "--tasks": st.sampled_from(["nothing", "", "embedded,?"]),
            "--methods": st.sampled_from(["nothing", "dann,,", "dmsrl-?"]),
            "--seeds": st.sampled_from(["a", "1.5", ","]),
            "--steps": st.sampled_from(["0", "-3", "many", "1e9"]),
            "--source": st.just(f"{folder}/missing"),
            "--network": st.just("no-such-network"),
        }
        name = data.draw(st.sampled_from(sorted(wrong)))
        value = data.draw(wrong[name])
        target = ["--target", folder, "--steps", "1"] if name in ("--source", "--network") else []
        source = ["--source", folder] if name == "--network" else []
        try:
            status = main(["run", name, value, *source, *target, "--out", f"{folder}/out", "--jobs", "1"])
        except SystemExit as error:  # argparse's own
            status = error.code
        COUNTS["command line refused"] += 1
        assert status in (1, 2), (name, value)


def test_number_of_cases():
    total = sum(COUNTS.values())
    print(f"\n{total} generated cases:", dict(sorted(COUNTS.items())))
    assert total >= 0.9 * CASES

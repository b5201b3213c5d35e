"""Several processes give what one process with all samples gives."""

import datetime
import sys
from pathlib import Path
from unittest import mock

import pytest
import torch
import torch.distributed as dist
from pytorch_adapt.containers import Optimizers
from pytorch_adapt.frameworks.ignite import Ignite
from torch import nn

from dmsrl_adapt import DMSRL, Checkpoints, dmsrl_components
from dmsrl_adapt.recipe import DEFAULT

from .scripts import ROOT, finish, in_forks, start

CLASSES, DIM, SIZE, NUM_TARGET, STEPS = 3, 5, 16, 32, 6
EXCHANGED: list[int] = []  # numbers given to each sum over processes
# every target image is augmented, and source images as far as they are learned; by copies that the batch brings
RECIPE = DEFAULT.replace("consistency", probability=1.0).replace("augmentation", probability=0.9)


def batches(number, processes):
    """This process's share of every step. In the last one the first quarter of the target shows nothing."""
    generator, shares = torch.Generator().manual_seed(0), []
    labels = torch.randint(CLASSES, (2, STEPS, SIZE), generator=generator)
    images = 2 * torch.eye(6)[labels] + 0.5 * torch.randn(2, STEPS, SIZE, 6, generator=generator)
    images[1, -1, : SIZE // 4] = 0
    images = images.view(2, STEPS, SIZE, 1, 2, 3)
    copies = images + 0.5 * torch.randn(images.shape, generator=generator)
    for step in range(STEPS):
        mine = slice(number * SIZE // processes, (number + 1) * SIZE // processes)
        sample_idx = (torch.arange(SIZE) + step * SIZE) % NUM_TARGET
        batch = {"src_imgs": images[0, step], "src_labels": labels[0, step], "target_imgs": images[1, step] + 0.5}
        batch |= {"src_imgs_augmented": copies[0, step], "target_imgs_augmented": copies[1, step] + 0.5}
        shares.append({key: value[mine] for key, value in {**batch, "target_sample_idx": sample_idx}.items()})
    return shares


def make_adapter(norm=nn.LayerNorm):
    torch.manual_seed(0)
    G = nn.Sequential(nn.Flatten(), nn.Linear(6, 8), norm(8), nn.Tanh(), nn.Linear(8, DIM))
    parts = dmsrl_components(DIM, CLASSES, NUM_TARGET, RECIPE)
    sgd = Optimizers((torch.optim.SGD, {"lr": 0.1}))
    return DMSRL.of(G, nn.Linear(DIM, CLASSES), parts, optimizers=sgd)


def shared_draws(number, processes):
    """Which images are augmented is drawn as in one process with all of them, where each takes its own."""
    generator, draw = torch.Generator().manual_seed(0), torch.rand

    def rand(shape, **kwargs):
        (size,) = shape
        return draw(SIZE, generator=generator)[number * size : (number + 1) * size]

    return mock.patch.object(torch, "rand", rand)


def counted(numbers, collective):
    """A collective that notes how many numbers it is given."""

    def wrapper(tensor, *args, **kwargs):
        numbers.append(tensor.numel())
        return collective(tensor, *args, **kwargs)

    return wrapper


def train(number=0, processes=1, count=STEPS, checkpoints=None):
    """Returns losses of every step and the states at the end, of the modules inside of their wrappers."""
    adapter, losses, numbers_augmented = make_adapter(), [], []
    step = adapter.hook

    def noted(*args):
        result = step(*args)
        losses.append(result[1]["total_loss"])
        numbers_augmented.append(result[0]["src_imgs_is_augmented"].sum().item())
        return result

    adapter.hook = noted
    trainer = Ignite(adapter, with_pbars=False)
    with shared_draws(number, processes):
        trainer.run(dataloaders={"train": batches(number, processes)[:count]}, max_epochs=1)
    exchanged = sum(EXCHANGED)
    if checkpoints:
        saved = Checkpoints(checkpoints, adapter)
        saved.save(1)
        if number == 0:  # the others were killed before
            saved.save(2)
        assert saved.resume() == (1 if processes > 1 else 2)
    modules = {**adapter.models, **adapter.misc}
    states = {key: getattr(module, "module", module).state_dict() for key, module in modules.items()}
    before_pass = sum(EXCHANGED)
    adapter.misc["pseudo_labeler"].relabel(
        (adapter.inference(batch["target_imgs"])["features"], batch["target_sample_idx"])
        for batch in batches(number, processes)
    )
    return {
        "losses": losses,
        "numbers_augmented": numbers_augmented,
        "exchanged": exchanged,
        "exchanged_in_pass": sum(EXCHANGED) - before_pass,
        "states": states,
        "labels": adapter.misc["pseudo_labeler"].labels,
    }


def work(folder, number, processes, is_equal):
    torch.set_num_threads(1)
    store = f"file://{folder / 'store'}"
    wait = datetime.timedelta(seconds=300)
    dist.init_process_group("gloo", init_method=store, rank=number, world_size=processes, timeout=wait)
    dist.all_reduce = counted(EXCHANGED, dist.all_reduce)
    if is_equal:
        result = train(number, processes, checkpoints=folder / "checkpoints")
    else:
        try:
            result = train(number, processes, STEPS - number)
        except ValueError as error:
            result = str(error)
    torch.save(result, folder / f"result{number}.pt")


def main(folder):
    for name, processes, is_equal in (("2", 2, True), ("4", 4, True), ("unequal", 2, False)):
        (folder / name).mkdir()
        in_forks(work, [(folder / name, number, processes, is_equal) for number in range(processes)])


@pytest.fixture(scope="module")
def folder(tmp_path_factory, forks):
    """Holds the results of several processes."""
    path = tmp_path_factory.mktemp("ddp")
    forks.finish("-m", "tests.test_ddp", str(path), seconds=900)
    return path


def read(folder, processes):
    return [torch.load(folder / f"result{number}.pt") for number in range(processes)]


@pytest.mark.parametrize("processes", [2, 4])
def test_processes_train_the_networks_of_one(processes, folder):
    alone, results = train(), read(folder / str(processes), processes)
    assert len(alone["losses"]) == STEPS
    for step, losses in enumerate(alone["losses"]):
        for key, loss in losses.items():
            mean = sum(result["losses"][step][key] for result in results) / processes
            assert mean == pytest.approx(loss, rel=1e-4, abs=1e-5), (step, key)
    for key, module in alone["states"].items():
        for name, value in module.items():
            of_all = [result["states"][key][name] for result in results]
            assert all(torch.equal(one, of_all[0]) for one in of_all if name not in ("labels", "weights"))
            if name not in ("labels", "weights"):
                torch.testing.assert_close(of_all[0], value, rtol=1e-4, atol=1e-5, msg=f"{key}.{name}")
    # each process has seen a part of the samples, and after a pass every one has the labels of all
    for result in results:
        assert torch.equal(result["labels"], alone["labels"])
    assert len(alone["labels"]) == NUM_TARGET and (alone["labels"] >= 0).sum() > NUM_TARGET / 2


@pytest.mark.parametrize("processes", [2, 4])
def test_processes_warm_up_and_augment_more_as_they_learn(processes, folder):
    """The comparison with one process alone would pass if neither had a warm-up or an accuracy gate."""
    results = read(folder / str(processes), processes)
    for key in ("consistency_loss", "mcc_loss"):
        first, *later = (max(result["losses"][step][key] for result in results) for step in range(STEPS))
        assert first == 0 < min(later)
    augmented = [sum(result["numbers_augmented"][step] for result in results) for step in range(STEPS)]
    assert augmented == train()["numbers_augmented"]
    assert augmented[0] == 0 < augmented[-1]


def test_a_step_exchanges_at_most_what_the_page_tells(folder):
    absent = 2 * CLASSES**2 + 13 * CLASSES + 5 - 2 * CLASSES  # of a step in which the labeller is told of no class
    most = absent + 2 * CLASSES * (DIM + 1)
    (count,) = {result["exchanged"] for result in read(folder / "2", 2)}
    assert STEPS * (absent + CLASSES * (DIM + 1)) < count <= STEPS * most  # all classes of the source are there


def test_a_pass_exchanges_what_the_page_tells(folder):
    for processes in (2, 4):
        counts = {result["exchanged_in_pass"] for result in read(folder / str(processes), processes)}
        assert counts == {2 * NUM_TARGET + 3 * CLASSES + 2}


def test_unequal_numbers_of_batches_are_an_error_and_no_wait(folder):
    expected = "all processes must take the same number of steps, got [6, 5]; see docs/robustness.md"
    assert read(folder / "unequal", 2) == [expected, expected]


def test_example_runs_by_torchrun(tmp_path):
    torchrun = ["-W", "ignore", "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    example = ["-m", "tests.short_epochs", str(ROOT / "examples" / "ddp.py"), "1"]
    printed = finish(start(*torchrun, *example, cwd=tmp_path))
    assert printed.count("target accuracy") == 1, sys.executable


if __name__ == "__main__":
    main(Path(sys.argv[1]))

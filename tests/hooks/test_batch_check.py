import pytest
import torch
from torch import nn

from dmsrl_adapt.hooks.batch_check import check_batch, smallest_num_classes
from dmsrl_adapt.losses import AdversarialMILoss, CosineMarginLoss
from dmsrl_adapt.training import SourceAccuracy

from ..stand_ins import CLASSES, DIM, SIZE, make_batch


def test_smallest_num_classes_of_layers_however_they_are_wrapped():
    wrapped = nn.Sequential(CosineMarginLoss(4, DIM))
    assert smallest_num_classes([AdversarialMILoss(DIM, 5), wrapped], None) == 4
    assert smallest_num_classes([AdversarialMILoss(DIM), wrapped], nn.Linear(DIM, 3)) == 4


def test_without_such_layers_a_linear_classifier_tells_the_number_of_classes():
    linear = nn.Linear(DIM, 3)
    for classifier in (linear, nn.Sequential(nn.Flatten(), linear), nn.DataParallel(linear)):
        assert smallest_num_classes([AdversarialMILoss(DIM)], classifier) == 3
    for classifier in (None, nn.Sequential(linear, nn.Conv1d(3, 5, 1))):
        assert smallest_num_classes([], classifier) == torch.iinfo(torch.int64).max


def test_gives_the_labels_as_int64():
    batch = make_batch()
    found = check_batch(None, {**batch, "src_labels": batch["src_labels"].int()}, {}, False)
    assert found.keys() == {"src_labels"}
    assert torch.equal(found["src_labels"], batch["src_labels"])


def test_gives_the_source_accuracy_above_chance_as_a_number():
    accuracy = SourceAccuracy(CLASSES)
    for seed in range(3):
        batch = make_batch(seed)
        accuracy.update(torch.eye(CLASSES)[batch["src_labels"].roll(seed % 2)], batch["src_labels"])
    found = check_batch(None, make_batch(), {"source_accuracy": accuracy}, False)
    assert isinstance(found["source_kappa"], float)
    assert 0 < found["source_kappa"] == accuracy() < 1


def test_where_no_layer_knows_the_classes_labels_have_no_upper_end():
    batch = {**make_batch(), "src_labels": torch.full((SIZE,), CLASSES)}
    check_batch(None, batch, {"mi_critic": AdversarialMILoss(DIM)}, False)
    with pytest.raises(ValueError, match=r"src_labels must be in 0\.\.\d+, got values from -1 to -1"):
        check_batch(None, {**batch, "src_labels": torch.full((SIZE,), -1)}, {}, False)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.uint8])
def test_images_of_any_type(dtype):
    check_batch(None, {**make_batch(), "target_imgs": torch.zeros(SIZE, 3, 4, 4).to(dtype)}, {}, False)


@pytest.mark.parametrize("key", ["src_imgs_augmented", "target_imgs_augmented"])
def test_images_that_the_batch_brings_in_another_style_are_checked(key):
    batch = make_batch()
    images = batch[key.removesuffix("_augmented")]
    check_batch(None, {**batch, key: -images}, {}, False)
    for augmented in (images[1:], images / 0):
        with pytest.raises(ValueError, match=key):
            check_batch(None, {**batch, key: augmented}, {}, False)

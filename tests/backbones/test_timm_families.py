"""Every row of the tables in docs/backbones.md, which say what was tried and what a level is."""

import re

import pytest
import timm
import torch

from dmsrl_adapt import MultiLevelBackbone
from dmsrl_adapt.backbones.local_windows import CORNERS

from ..scripts import ROOT

SIDE = 64
TEXT = (ROOT / "docs" / "backbones.md").read_text()
WANTED = ["ResNet", "ResNeXt", "VGG-BN", "EfficientNet", "MobileNetV3", "ConvNeXt", "RegNet", "DenseNet", "ViT", "DeiT"]
WANTED += ["Swin", "EVA-02", "BEiT"]


def rows(section):
    """The cells of a section's table, a tuple a row."""
    lines = [line for line in TEXT.partition(f"## {section}")[2].partition("\n## ")[0].splitlines() if line[:1] == "|"]
    return [tuple(cell.strip().strip("`") for cell in line.strip("|").split("|")) for line in lines[2:]]


WORKING, FAILING = rows("Tested models"), rows("What does not work")
# the tables are of timm 1.0.31, before which these gave no maps, or others
NEW = {"coat_tiny", "crossvit_9_240", "visformer_tiny", "xcit_nano_12_p16_224"}
IS_OLD = tuple(int(part) for part in timm.__version__.split(".")[:3]) < (1, 0, 31)


def cases(table):
    """One case a row, named after the timm model."""
    skip = pytest.mark.skipif(IS_OLD, reason="needs timm 1.0.31")
    return [pytest.param(*row, id=row[1], marks=[skip] if row[1] in NEW else []) for row in table]


def test_families_that_a_user_would_look_for_are_in_the_table():
    assert set(WANTED) <= {row[0] for row in WORKING}
    assert len({row[0] for row in WORKING}) == len(WORKING)
    assert FAILING


@pytest.mark.parametrize(("family", "name", "way", "depths", "last", "first"), cases(WORKING))
def test_family_gives_the_levels_of_the_table(family, name, way, depths, last, first):
    G = MultiLevelBackbone(name, levels=(1, -1), input_size=SIDE)
    maps = {}
    G.pools[0].register_forward_hook(lambda pool, inputs, pooled: maps.update(depth_1=inputs[0]))
    G.pools[1].register_forward_hook(lambda pool, inputs, pooled: maps.update({"global": inputs[0]}))
    fused, levels = G(torch.randn(2, 3, SIDE, SIDE), return_levels=True)
    told = {level: "{} ({} x {})".format(*of_level.shape[1:]) for level, of_level in maps.items()}
    assert told == {"global": last, "depth_1": first}
    sizes = {level: int(cell.split()[0]) for level, cell in (("global", last), ("depth_1", first))}
    assert G.level_dims == {**dict.fromkeys(("global", *CORNERS), sizes["global"]), "depth_1": sizes["depth_1"]}
    assert {level: part.shape for level, part in levels.items()} == {n: (2, d) for n, d in G.level_dims.items()}
    assert fused.shape == (2, G.feature_dim)
    assert fused.isfinite().all()
    assert (type(G.trunk).__name__ == "FeatureGetterNet") == (way == "forward_intermediates")
    assert len(G.trunk.feature_info) == int(depths)
    levels["depth_1"].square().sum().backward()
    assert next(G.trunk.parameters()).grad.abs().sum() > 0


@pytest.mark.parametrize(("family", "name", "levels", "side", "lack"), cases(FAILING))
def test_family_that_cannot_is_named_with_what_it_lacks(family, name, levels, side, lack):
    depths = tuple(int(number) for number in re.findall(r"-?\d+", levels))
    with pytest.raises(ValueError, match=re.escape(lack)) as caught:
        MultiLevelBackbone(name, levels=depths, input_size=int(side))
    assert re.search(rf"{name}' \(family \w+\)", str(caught.value))

import pytest
import timm
import torch

from napari_alibi_seg.core.model.backbone import Backbone, BackboneIdentity, fold_positions
from napari_alibi_seg.core.model.geometry import Geometry
from napari_alibi_seg.probing.inputs import ProbedModel


def short_sighted_model(positions, blocks=2):
    """A real ViT whose patches do not look at each other; with or without knowing their place."""
    torch.manual_seed(0)
    vit = timm.create_model(
        "vit_tiny_patch16_224", depth=blocks, num_classes=0, img_size=64, dynamic_img_size=True
    )
    with torch.no_grad():
        for block in vit.blocks:
            block.attn.proj.weight.zero_()
            block.attn.proj.bias.zero_()
        vit.pos_embed *= 50
    if not positions:
        fold_positions(vit)
    geometry = None if positions else Geometry()
    backbone = Backbone(vit, geometry).eval().requires_grad_(False)
    identity = BackboneIdentity("short-sighted", "vit_tiny_patch16_224", geometry, "0" * 64)
    return ProbedModel("short-sighted", backbone, identity)


@pytest.fixture(scope="session")
def placeless():
    return short_sighted_model(positions=False)


@pytest.fixture(scope="session")
def four_blocks():
    """One whose segmentations use the third block."""
    return short_sighted_model(positions=True, blocks=4)


@pytest.fixture(scope="session")
def place_bound():
    return short_sighted_model(positions=True)

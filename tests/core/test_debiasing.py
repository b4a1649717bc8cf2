import pytest
import timm
import torch

from napari_alibi_seg.core.choices import DEFAULT_MODEL
from napari_alibi_seg.core.features.extraction import FeatureExtractor
from napari_alibi_seg.core.model.backbone import Backbone
from napari_alibi_seg.core.model.debiasing import (
    BLANK_COMPONENTS,
    BlankProjected,
    Debiasing,
    FlipAveraged,
    debiased,
    leading_directions,
    project_out,
)


@pytest.fixture(scope="module")
def backbone():
    """A small ViT that knows places very well."""
    torch.manual_seed(0)
    vit = timm.create_model(
        "vit_tiny_patch16_224", depth=2, num_classes=0, img_size=64, dynamic_img_size=True
    )
    with torch.no_grad():
        vit.pos_embed *= 50
    return Backbone(vit, None).eval().requires_grad_(False)


@pytest.fixture(scope="module")
def images():
    return torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("axis", [-1, -2])
def test_flip_averaged_tokens_turn_with_the_image(backbone, images, axis):
    averaged = FlipAveraged(backbone)
    of_flipped = averaged(images.flip(axis))
    assert torch.allclose(of_flipped, averaged(images).flip(axis - 1), atol=1e-4)
    assert not torch.allclose(
        backbone(images.flip(axis)), backbone(images).flip(axis - 1), atol=0.1
    )


@pytest.mark.parametrize("remedy", list(Debiasing))
def test_a_remedy_is_called_as_the_backbone_is(backbone, images, remedy):
    model = debiased(backbone, remedy)
    layers = model.layers(images)
    assert len(layers) == len(backbone.layers(images))
    assert model(images).shape == (2, 4, 6, model.channels)
    assert torch.allclose(model(images), layers[-1], atol=1e-5)
    assert torch.allclose(model(images, layer=1), layers[0], atol=1e-5)


def test_features_behind_each_remedy_have_an_identity_of_their_own():
    names = [f"{DEFAULT_MODEL}{remedy}" for remedy in ("", "+flips", "+blank")]
    identities = [FeatureExtractor.load(name, "cpu").identity(1) for name in names]
    assert len({identity.key for identity in identities}) == 3
    assert [identity.backbone.name for identity in identities] == names


def test_a_blank_image_keeps_only_what_its_leading_directions_leave(backbone):
    few, many = torch.zeros(1, 3, 32, 64), torch.zeros(1, 3, 128, 128)
    assert 7 < BLANK_COMPONENTS < 63  # directions in which 8 and 64 tokens vary around their mean
    assert backbone(few).var(dim=(1, 2)).sum() > 1
    assert BlankProjected(backbone)(few).var(dim=(1, 2)).sum() < 1e-4
    some = BlankProjected(backbone)(many).var(dim=(1, 2)).sum()
    assert 1e-4 < some < backbone(many).var(dim=(1, 2)).sum()


def test_each_grid_has_directions_of_its_own(backbone, images):
    projected = BlankProjected(backbone)
    square = images[..., :64]
    first = projected(square)
    for width in (32, 48, 80, 96, 64):
        projected(images[..., :width])
    assert torch.equal(projected(square), first)
    wide = BlankProjected(backbone)(images)
    assert torch.equal(projected(images), wide)


def test_projecting_out_leaves_nothing_along_the_basis_and_the_rest_alone():
    tokens = torch.randn(2, 5, 5, 12, generator=torch.Generator().manual_seed(0))
    basis = leading_directions(tokens, 3)
    assert torch.allclose(basis.T @ basis, torch.eye(3), atol=1e-5)
    left = project_out(tokens, basis)
    assert (left @ basis).abs().max() < 1e-5
    assert torch.allclose(project_out(left, basis), left, atol=1e-5)


def test_leading_directions_are_those_of_largest_variance():
    spread = torch.tensor([1.0, 5.0, 0.1, 3.0])
    tokens = torch.randn(4000, 4, generator=torch.Generator().manual_seed(0)) * spread + 7
    basis = leading_directions(tokens, 2).abs()
    assert basis.argmax(dim=0).tolist() == [1, 3]

import copy
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from napari_alibi_seg.core.errors import ModelError
from napari_alibi_seg.core.model.backbone import Backbone
from napari_alibi_seg.core.model.checkpoints import build_alibi, convert_to_alibi, load_backbone
from napari_alibi_seg.core.model.geometry import (
    PUBLISHED,
    Distance,
    Geometry,
    Slopes,
    distance_matrix,
    fixed_slopes,
)

TEACHER = Path(__file__).parents[3] / "shared/weights/dinov2_vits14.safetensors"
STOCK = f"timm:vit_small_patch14_dinov2:{TEACHER}"


@pytest.fixture(scope="module")
def folded():
    """The teacher with its positions folded away and one slope for all heads."""
    teacher, _ = load_backbone(STOCK)
    return convert_to_alibi("vit_small_patch14_dinov2", teacher, Geometry()).eval()


@pytest.fixture(scope="module")
def wrapped(folded):
    return Backbone(folded.vit, PUBLISHED).eval()


@pytest.fixture(scope="module")
def picture():
    generator = torch.Generator().manual_seed(0)
    return torch.rand(1, 3, 8 * 14, 9 * 14, generator=generator)


def by_hand(geometry, rows, columns):
    """The definition, token by token."""
    between = torch.zeros(rows * columns, rows * columns)
    for i in range(rows * columns):
        for j in range(rows * columns):
            down, across = abs(i // columns - j // columns), abs(i % columns - j % columns)
            if geometry.wrap:
                down, across = min(down, rows - down), min(across, columns - across)
            euclidean = (down**2 + across**2) ** 0.5
            between[i, j] = euclidean if geometry.distance is Distance.EUCLIDEAN else down + across
    return between / between.max() if geometry.normalise else between


@pytest.mark.parametrize("distance", Distance)
@pytest.mark.parametrize("wrap", [False, True])
@pytest.mark.parametrize("normalise", [False, True])
def test_distances_follow_the_definition_and_prefix_tokens_are_near_everything(
    distance, wrap, normalise
):
    geometry = Geometry(distance, wrap, normalise)
    between = distance_matrix(geometry, (3, 5), prefix=2)
    assert torch.allclose(between[2:, 2:], by_hand(geometry, 3, 5))
    assert not between[:2].any()
    assert not between[:, :2].any()


def test_slopes_per_head_are_those_of_the_alibi_paper():
    slopes = fixed_slopes(Geometry(slopes=Slopes.PER_HEAD, slope=1.0), heads=8)
    assert slopes.flatten().tolist() == [2.0**-i for i in range(1, 9)]


@pytest.mark.parametrize("geometry", [Geometry(), PUBLISHED, Geometry(slopes=Slopes.LEARNED)])
def test_a_geometry_survives_its_text(geometry):
    assert Geometry.from_json(geometry.to_json()) == geometry


@pytest.mark.parametrize("text", ["{}", "nonsense", '{"distance": "taxi", "slopes": "constant"}'])
def test_a_geometry_that_cannot_be_read_is_refused(text):
    with pytest.raises(ModelError, match="geometry"):
        Geometry.from_json(text)


def test_the_bias_equals_the_one_timm_applies(folded, picture):
    bias = -folded.geometry.slope * distance_matrix(folded.geometry, (8, 9), 1)
    with torch.no_grad():
        theirs = folded.vit.forward_intermediates(
            (picture - folded._mean) / folded._std,
            indices=1,
            norm=True,
            intermediates_only=True,
            attn_mask=bias[None, None],
        )[0]
        ours = folded(picture)
    assert torch.allclose(ours, theirs.permute(0, 2, 3, 1), atol=1e-4)


def test_on_a_torus_rolling_the_input_by_patches_rolls_the_features(wrapped, picture):
    with torch.no_grad():
        still, rolled = wrapped(picture), wrapped(picture.roll((28, -42), dims=(2, 3)))
    assert torch.allclose(still.roll((2, -3), dims=(1, 2)), rolled, atol=1e-4)


def test_without_wrapping_it_does_not(folded, picture):
    with torch.no_grad():
        still, rolled = folded(picture), folded(picture.roll((28, -42), dims=(2, 3)))
    assert not torch.allclose(still.roll((2, -3), dims=(1, 2)), rolled, atol=1e-2)


def test_constant_slopes_written_as_learned_ones_change_nothing(folded, picture):
    learned = build_alibi("vit_small_patch14_dinov2", replace(Geometry(), slopes=Slopes.LEARNED))
    learned.vit.load_state_dict(folded.vit.state_dict(), strict=False)
    with torch.no_grad():
        assert torch.allclose(learned.eval()(picture), folded(picture), atol=1e-4)


def test_a_backbone_can_be_trained_after_it_was_used(picture):
    backbone = build_alibi("vit_small_patch14_dinov2", Geometry())
    with torch.inference_mode():
        backbone(picture)
    backbone(picture).mean().backward()
    assert backbone.vit.norm.weight.grad is not None


def test_slopes_per_head_reach_the_heads(folded, picture):
    per_head = Backbone(folded.vit, Geometry(slopes=Slopes.PER_HEAD)).eval()
    with torch.no_grad():
        assert not torch.allclose(per_head(picture), folded(picture), atol=1e-2)


def test_the_output_after_a_block_is_that_layer(folded, picture):
    with torch.no_grad():
        layers = folded.layers(picture)
        assert len(layers) == 12
        assert torch.equal(layers[-1], folded(picture))
        assert torch.equal(layers[7], folded(picture, layer=8))


def test_a_dinov3_style_backbone_takes_the_bias_too():
    backbone = build_alibi("vit_small_plus_patch16_dinov3_qkvb", PUBLISHED).eval()
    with torch.no_grad():
        assert backbone(torch.rand(2, 3, 32, 48)).shape == (2, 2, 3, 384)


@pytest.mark.parametrize("slopes", Slopes)
def test_the_bias_has_the_shape_that_fused_attention_takes(folded, picture, slopes, monkeypatch):
    seen, attend = [], torch.nn.functional.scaled_dot_product_attention

    def attention(*tensors, attn_mask, **options):
        seen.append(tuple(attn_mask.shape))
        return attend(*tensors, attn_mask=attn_mask, **options)

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", attention)
    with torch.no_grad():
        Backbone(copy.deepcopy(folded.vit), Geometry(slopes=slopes)).eval()(picture)
    tokens = 8 * 9 + folded.prefix
    assert {shape[-2:] for shape in seen} == {(tokens, tokens)}
    assert {len(shape) for shape in seen} == {4}

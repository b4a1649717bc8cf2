import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from skimage.io import imread

from napari_alibi_seg.core.errors import ModelError
from napari_alibi_seg.core.model.backbone import Backbone
from napari_alibi_seg.core.model.checkpoints import (
    build_alibi,
    convert_to_alibi,
    load_backbone,
    save_backbone,
)
from napari_alibi_seg.core.model.geometry import PUBLISHED, Geometry, Slopes
from napari_alibi_seg.core.model.names import MODELS

TEACHER = Path(__file__).parents[3] / "shared/weights/dinov2_vits14.safetensors"
STOCK = f"timm:vit_small_patch14_dinov2:{TEACHER}"
SAMPLES = Path(__file__).parents[2] / "src/napari_alibi_seg/samples"
REG4 = "alibi_dv2_vits14_reg4.pth"


@pytest.fixture(scope="module")
def published():
    """A model of the published architecture with weights nobody trained."""
    torch.manual_seed(0)
    return build_alibi("vit_small_patch14_reg4_dinov2", PUBLISHED)


def same_output(one, other):
    image = torch.rand(1, 3, 42, 56)
    with torch.no_grad():
        return torch.allclose(one.eval()(image), other.eval()(image), atol=1e-5)


def test_a_saved_backbone_comes_back_with_its_geometry(tmp_path, published):
    path = tmp_path / "model.safetensors"
    for value in published.vit.state_dict().values():
        value.copy_(value.half())  # what a file can hold
    save_backbone(published, "vit_small_patch14_reg4_dinov2", path)
    loaded, identity = load_backbone(path)
    assert identity.geometry == PUBLISHED
    assert identity.weights == published.digest()
    assert same_output(loaded, published)


def test_learned_slopes_are_saved_too(tmp_path):
    learned = build_alibi("vit_small_patch14_dinov2", Geometry(slopes=Slopes.LEARNED))
    with torch.no_grad():
        learned.vit.blocks[3].attn.m += 0.5
    path = tmp_path / "model.safetensors"
    save_backbone(learned, "vit_small_patch14_dinov2", path)
    loaded, _ = load_backbone(str(path))
    assert torch.allclose(loaded.vit.blocks[3].attn.m, learned.vit.blocks[3].attn.m, atol=1e-3)


@pytest.mark.parametrize("prefix", ["", "model."])
def test_both_published_key_formats_load(tmp_path, published, prefix):
    tensors = {prefix + key: value for key, value in published.vit.state_dict().items()}
    if prefix:
        tensors["model.pos_embed"] = torch.zeros(1, 1369, 384)
    torch.save(tensors, tmp_path / REG4)
    loaded, identity = load_backbone(str(tmp_path / REG4))
    assert identity.geometry == PUBLISHED
    assert same_output(loaded, published)


def test_published_learned_slopes_load(tmp_path, published):
    tensors = dict(published.vit.state_dict())
    for layer in range(12):
        tensors[f"blocks.{layer}.attn.m"] = torch.full((6, 1, 1), 0.25)
    torch.save(tensors, tmp_path / REG4)
    loaded, identity = load_backbone(str(tmp_path / REG4))
    assert identity.geometry.slopes is Slopes.LEARNED
    assert loaded.vit.blocks[7].attn.m.unique().tolist() == [0.25]


def test_dinov3_weights_load_under_metas_own_key_names(tmp_path):
    entry = MODELS["dino-saw-coco-dinov3-s16plus"]
    backbone = build_alibi(entry.architecture, PUBLISHED)
    torch.save(_as_meta_names_them(backbone.vit.state_dict()), tmp_path / entry.source.file)
    loaded, _ = load_backbone(str(tmp_path / entry.source.file))
    for key, value in backbone.vit.state_dict().items():
        assert torch.equal(loaded.vit.state_dict()[key], value), key


def _as_meta_names_them(tensors):
    renamed = {}
    for key, value in tensors.items():
        name = key.replace("gamma_1", "ls1.gamma").replace("gamma_2", "ls2.gamma")
        name = name.replace("reg_token", "storage_tokens")
        name = name.replace("fc1_g", "w1").replace("fc1_x", "w2").replace("fc2", "w3")
        if name.endswith("q_bias"):
            other = tensors[key.replace("q_bias", "v_bias")]
            name, value = name.replace("q_bias", "qkv.bias"), torch.cat([value, value * 0, other])
            renamed[name.replace("bias", "bias_mask")] = torch.ones_like(value)
        if not name.endswith("v_bias"):
            renamed[name] = value
    renamed["rope_embed.periods"] = torch.ones(16)
    renamed["mask_token"] = torch.zeros(1, 384)
    return renamed


def test_the_bundled_default_sees_what_its_teacher_sees_and_no_positions():
    teacher, _ = load_backbone(STOCK)
    bundled, identity = load_backbone()
    assert identity.geometry == Geometry(slopes=Slopes.LEARNED)
    pixels = imread(SAMPLES / "superalloy.png")[:224, :224].astype(np.float32) / 255
    image = torch.from_numpy(pixels).expand(1, 3, -1, -1)
    blank = torch.full_like(image, 0.5)
    with torch.no_grad():
        cosine = torch.cosine_similarity(teacher(image), bundled(image), dim=-1).mean()
        spread = [model(blank).flatten(1, 2).std(dim=1).mean() for model in (teacher, bundled)]
    assert cosine > 0.8
    assert spread[1] < spread[0] / 3


def test_a_stock_model_keeps_its_positions():
    teacher, identity = load_backbone(STOCK)
    assert identity.geometry is None
    blank = torch.full((1, 3, 70, 70), 0.5)
    with torch.no_grad():
        tokens = teacher(blank)
    assert tokens.flatten(1, 2).std(dim=1).mean() > 0.05


def test_folding_keeps_the_mean_of_the_positions():
    teacher, _ = load_backbone(STOCK)
    folded = convert_to_alibi("vit_small_patch14_dinov2", teacher, Geometry(slope=0.0))
    positions = teacher.vit.pos_embed[0]
    image = torch.rand(1, 3, 518, 518)
    with torch.no_grad():
        before = teacher.vit.patch_embed(image).flatten(1, 2) + positions[1:]
        after = folded.vit.patch_embed(image).flatten(1, 2)
    assert torch.allclose(before.mean(dim=1), after.mean(dim=1), atol=1e-4)
    assert torch.allclose(folded.vit.cls_token, teacher.vit.cls_token + positions[0])


def test_every_key_that_does_not_fit_is_named(tmp_path, published):
    tensors = dict(published.vit.state_dict())
    tensors["blocks.0.norm1.weigth"] = tensors.pop("blocks.0.norm1.weight")
    tensors["norm.bias"] = torch.zeros(7)
    torch.save(tensors, tmp_path / REG4)
    with pytest.raises(ModelError) as caught:
        load_backbone(str(tmp_path / REG4))
    for name in ("missing: blocks.0.norm1.weight", "unexpected: blocks.0.norm1.weigth", "(7,)"):
        assert name in str(caught.value)


def test_positions_in_an_alibi_checkpoint_are_refused(tmp_path, published):
    tensors = {**published.vit.state_dict(), "pos_embed": torch.ones(1, 1369, 384)}
    torch.save(tensors, tmp_path / REG4)
    with pytest.raises(ModelError, match="position embedding"):
        load_backbone(str(tmp_path / REG4))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("alibi-dinov2-s15", "alibi-dinov2-s14"),
        ("timm:vit_nonexistent_patch14", "vit_nonexistent_patch14"),
        ("timm:resnet18:weights.safetensors", "no vision transformer"),
        ("timm:vit_small_patch14_dinov2:nowhere.safetensors", "nowhere.safetensors"),
    ],
)
def test_an_unknown_name_says_what_is_allowed(name, said):
    with pytest.raises(ModelError, match=said):
        load_backbone(name)


class Payload:
    def __reduce__(self):
        return (Path.touch, (Path("harm"),))


def test_a_checkpoint_cannot_run_code(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path(REG4).write_bytes(pickle.dumps({"norm.weight": Payload()}, protocol=2))
    with pytest.raises(ModelError, match="code"):
        load_backbone(REG4)
    assert not Path("harm").exists()


@pytest.mark.parametrize("content", [b"", b"hello", b"\x80\x02."])
@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_a_file_of_another_kind_is_called_damaged(tmp_path, content, suffix):
    path = tmp_path / f"model{suffix}"
    path.write_bytes(content)
    with pytest.raises(ModelError, match="damaged") as caught:
        load_backbone(str(path))
    assert "weights_only" not in str(caught.value)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_a_truncated_file_is_called_damaged(tmp_path, suffix):
    path = tmp_path / f"model{suffix}"
    (save_file if suffix == ".safetensors" else torch.save)({"a": torch.ones(999)}, path)
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(ModelError, match="damaged"):
        load_backbone(str(path))


def test_a_file_without_a_geometry_is_not_guessed_at(tmp_path):
    save_file({"a": torch.ones(1)}, tmp_path / "model.safetensors")
    with pytest.raises(ModelError, match="architecture and geometry"):
        load_backbone(str(tmp_path / "model.safetensors"))


def test_digest_follows_the_weights_not_the_container(published, tmp_path):
    before = published.digest()
    torch.save(published.vit.state_dict(), tmp_path / REG4)
    assert load_backbone(str(tmp_path / REG4))[1].weights == before
    other = Backbone(published.vit, PUBLISHED)
    with torch.no_grad():
        other.vit.norm.bias[0] += 1
    assert other.digest() != before
    with torch.no_grad():
        other.vit.norm.bias[0] -= 1

import pytest

from napari_alibi_seg.core.model.names import absolute_model, model_without_folder


@pytest.mark.parametrize("before", ["", "timm:vit_small_patch14_dinov2:"])
@pytest.mark.parametrize("after", ["", "+flips", "+blank"])
def test_a_file_is_named_by_its_absolute_path(tmp_path, monkeypatch, before, after):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "student.safetensors").touch()
    name = absolute_model(f"{before}student.safetensors{after}")
    assert name == f"{before}{tmp_path / 'student.safetensors'}{after}"
    monkeypatch.chdir("/")
    assert absolute_model(name) == name
    assert model_without_folder(name) == f"{before}student.safetensors{after}"


@pytest.mark.parametrize(
    "name",
    ["classical", "alibi-dinov2-s14", "alibi-dinov2-s14+flips", "timm:vit_small", "no/such/file"],
)
def test_other_names_stay_as_they_are(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "alibi-dinov2-s14").touch()
    (tmp_path / "vit_small").touch()
    assert absolute_model(name) == name
    assert model_without_folder(name) == name

"""Load and save backbones: from a model's name to a network with weights.

A name is one of `MODELS`, ``timm:<id>`` (a stock model with its own position encoding and weights
from the Hugging Face hub), ``timm:<id>:<file>`` (the same from a local file) or the path of a
checkpoint. Only `load_backbone` uses the network, for names whose weights are on the hub and not
cached. timm, which takes two seconds to import, is imported for the first model.
"""

from __future__ import annotations

import os
from dataclasses import replace
from importlib.resources import as_file, files
from pathlib import Path
from pickle import UnpicklingError  # what torch.load raises for a file that holds code
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from napari_alibi_seg.core.choices import DEFAULT_MODEL
from napari_alibi_seg.core.errors import DAMAGE, ModelError
from napari_alibi_seg.core.model.backbone import Backbone, BackboneIdentity, fold_positions
from napari_alibi_seg.core.model.fetch import (
    HubFile,
    connection_errors,
    fetch,
    show_progress_if_possible,
)
from napari_alibi_seg.core.model.geometry import Geometry, Slopes
from napari_alibi_seg.core.model.names import MODELS, ModelEntry
from napari_alibi_seg.core.writing import replacing

if TYPE_CHECKING:
    from collections.abc import Mapping

_FORMAT = "napari-alibi-seg backbone 1"
_PROBLEMS_NAMED = 8


def load_backbone(name: str | Path = DEFAULT_MODEL) -> tuple[Backbone, BackboneIdentity]:
    """Load a backbone by name or path, on the CPU, in evaluation mode, in float32.

    Parameters
    ----------
    name : str or Path
        A name of `MODELS`, ``timm:<id>``, ``timm:<id>:<file>`` or the path of a checkpoint
        (`save_backbone`, or a published ``.pth`` under its original file name).

    Raises
    ------
    ModelError
        If the name is unknown, weights cannot be downloaded, a file is missing or damaged, or its
        keys do not match the architecture.
    """
    name = str(name)
    if name.startswith("timm:"):
        _, architecture, *file = name.split(":", 2)
        backbone = _stock(architecture, Path(file[0]) if file else None)
    elif name in MODELS:
        architecture, backbone = MODELS[name].architecture, _from_table(MODELS[name])
    elif os.path.isfile(name):
        architecture, backbone = _from_file(Path(name))
    else:
        raise ModelError(
            f"There is no model called {name!r} and no file of that name; choose one of "
            f"{', '.join(MODELS)}, timm:<id>, timm:<id>:<file>, or the path of a checkpoint."
        )
    backbone.eval().requires_grad_(False)
    identity = BackboneIdentity(name, architecture, backbone.geometry, backbone.digest())
    return backbone, identity


def save_backbone(
    backbone: Backbone,
    architecture: str,
    path: Path,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write an ALiBi backbone as float16 safetensors, with its architecture and geometry.

    Parameters
    ----------
    backbone : Backbone
        A backbone with a geometry.
    architecture : str
        timm architecture name of ``backbone.vit``.
    path : Path
        The file, written atomically.
    metadata : mapping of str, optional
        Additional entries of the file's header.
    """
    assert backbone.geometry is not None, "a stock model is saved by timm"
    header = {
        **(metadata or {}),
        "format": _FORMAT,
        "architecture": architecture,
        "geometry": backbone.geometry.to_json(),
    }
    tensors = {
        key: value.detach().to("cpu", torch.float16).contiguous()
        for key, value in backbone.vit.state_dict().items()
    }
    with replacing(path) as aside:
        aside.write_bytes(save(tensors, metadata=header))


def build_alibi(architecture: str, geometry: Geometry) -> Backbone:
    """Return an untrained ALiBi backbone without a position encoding of its own."""
    vit = _create(architecture)
    fold_positions(vit)
    return Backbone(vit, geometry)


def convert_to_alibi(architecture: str, teacher: Backbone, geometry: Geometry) -> Backbone:
    """Return an ALiBi backbone initialised from a stock model (see `fold_positions`)."""
    vit = _create(architecture)
    vit.load_state_dict(teacher.vit.state_dict())
    fold_positions(vit)
    return Backbone(vit, geometry)


def _create(architecture: str, **options: Any) -> Any:
    import timm

    if not timm.is_model(architecture):
        raise ModelError(
            f"timm {timm.__version__} has no architecture {architecture!r}; "
            "see timm.list_models('*dino*')."
        )
    try:
        return timm.create_model(architecture, num_classes=0, dynamic_img_size=True, **options)
    except TypeError as error:
        raise ModelError(
            f"{architecture!r} is no vision transformer for images of any size; use one of the "
            "DINOv2 or DINOv3 kind, see timm.list_models('*dino*')."
        ) from error


def _stock(architecture: str, file: Path | None) -> Backbone:
    if file is None:
        show_progress_if_possible()
        try:
            vit = _create(architecture, pretrained=True)
        except (RuntimeError, *connection_errors()) as error:  # type: ignore[misc]
            raise ModelError(
                f"The stock model {architecture!r} could not be fetched ({error}); connect once, "
                f"or name a local file: timm:{architecture}:<file>."
            ) from error
        return Backbone(vit, None)
    vit = _create(architecture)
    load_strictly(vit, read_tensors(file)[0], file)
    return Backbone(vit, None)


def _from_table(entry: ModelEntry) -> Backbone:
    if isinstance(entry.source, str):
        with as_file(files("napari_alibi_seg") / "weights" / entry.source) as path:
            return _from_file(path)[1]
    return _published(fetch(entry.source), entry)


def _from_file(path: Path) -> tuple[str, Backbone]:
    tensors, header = read_tensors(path)
    if header.get("format") == _FORMAT:
        geometry = Geometry.from_json(header["geometry"])
        backbone = build_alibi(header["architecture"], geometry)
        load_strictly(backbone.vit, tensors, path)
        return header["architecture"], backbone
    for entry in MODELS.values():
        if isinstance(entry.source, HubFile) and entry.source.file == path.name:
            return entry.architecture, _published(path, entry)
    published = [e.source.file for e in MODELS.values() if isinstance(e.source, HubFile)]
    raise ModelError(
        f"{path} does not say its architecture and geometry; use a checkpoint written by "
        f"napari_alibi_seg.finetune, a published one under its own name ({', '.join(published)}), "
        "or timm:<id>:<file> for a stock model."
    )


def _published(path: Path, entry: ModelEntry) -> Backbone:
    tensors, _ = read_tensors(path)
    tensors = {key.removeprefix("model."): value for key, value in tensors.items()}
    if "pos_embed" in tensors:
        if tensors["pos_embed"].any():
            raise ModelError(
                f"{path} has a position embedding that is not zero, so it is no ALiBi model; "
                f"load it as timm:{entry.architecture}:{path}."
            )
        del tensors["pos_embed"]
    geometry = entry.geometry
    if any(key.endswith(".attn.m") for key in tensors):
        geometry = replace(geometry, slopes=Slopes.LEARNED)
    backbone = build_alibi(entry.architecture, geometry)
    if "storage_tokens" in tensors:
        from timm.models import eva

        slopes = {key: value for key, value in tensors.items() if key.endswith(".attn.m")}
        tensors = {**eva.checkpoint_filter_fn(tensors, backbone.vit), **slopes}
    load_strictly(backbone.vit, tensors, path)
    return backbone


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read the tensors and header of a safetensors or ``.pth`` file without executing code.

    Raises
    ------
    ModelError
        If the file is missing, truncated or holds anything but tensors.
    """
    if not os.path.isfile(path):
        raise ModelError(f"There is no file {path}; check the path of the weights.")
    try:
        if path.suffix == ".safetensors":
            with safe_open(path, framework="pt") as file:
                names = list(file.keys())
                return {name: file.get_tensor(name) for name in names}, file.metadata() or {}
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except (*DAMAGE, SafetensorError, UnpicklingError) as error:
        raise ModelError(
            f"{path} is damaged, truncated or holds code, so it was not loaded; fetch it again, "
            "or use a safetensors file."
        ) from error
    for key in ("state_dict", "model"):
        loaded = loaded.get(key, loaded) if isinstance(loaded, dict) else loaded
    if not isinstance(loaded, dict) or not all(isinstance(v, Tensor) for v in loaded.values()):
        raise ModelError(f"{path} holds something else than named tensors; fetch it again.")
    return loaded, {}


def load_strictly(vit: torch.nn.Module, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Load tensors into a model as float32; every key and shape must match.

    Raises
    ------
    ModelError
        If a key is missing or unexpected, or a tensor has another shape; it names the first eight.
    """
    expected = vit.state_dict()
    problems = [f"missing: {key}" for key in expected.keys() - tensors.keys()]
    problems += [f"unexpected: {key}" for key in tensors.keys() - expected.keys()]
    problems += [
        f"{key} has shape {tuple(tensors[key].shape)}, not {tuple(expected[key].shape)}"
        for key in expected.keys() & tensors.keys()
        if tensors[key].shape != expected[key].shape
    ]
    if problems:
        named = "; ".join(sorted(problems)[:_PROBLEMS_NAMED])
        more = len(problems) - _PROBLEMS_NAMED
        raise ModelError(
            f"The weights in {path} do not fit the architecture ({named}"
            f"{f'; and {more} more' if more > 0 else ''}); use the architecture they were trained "
            "for."
        )
    vit.load_state_dict({key: value.float() for key, value in tensors.items()})

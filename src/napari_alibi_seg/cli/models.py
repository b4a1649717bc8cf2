"""The command ``models``: list the models that have a name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_alibi_seg.cli.options import add_command
from napari_alibi_seg.core.choices import CLASSICAL
from napari_alibi_seg.core.terminal import tell

if TYPE_CHECKING:
    import argparse

    from napari_alibi_seg.cli.options import Commands


def add_to(commands: Commands) -> None:
    """Add the command."""
    add_command(commands, "models", models)


def models(_: argparse.Namespace) -> int:
    """List the models that can be given by name."""
    from napari_alibi_seg.core.model.fetch import cache_folder
    from napari_alibi_seg.core.model.names import MODELS

    for name, entry in MODELS.items():
        tell(f"{name:30} {entry.where:14} {entry.licence:22} {entry.description}")
    tell(f"{CLASSICAL:30} {'':14} {'':22} no deep features, pixel filters alone")
    tell(f"{'timm:<id>[:<file>]':30} {'':14} {'':22} a stock timm model, with its own positions")
    tell(f"{'<path>':30} {'':14} {'':22} a checkpoint of napari_alibi_seg.finetune")
    tell(f"{'<any>+flips, <any>+blank':30} {'':14} {'':22} with a remedy of positional bias")
    tell(f"Fetched weights and features of large images are kept in {cache_folder()},")
    tell("those of timm:<id> in the cache of the Hugging Face hub.")
    return 0

"""Model cards: from what and how the weights were trained, and how good they are."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from napari_alibi_seg.core.headers import versions
from napari_alibi_seg.core.writing import replacing

if TYPE_CHECKING:
    from pathlib import Path

    from napari_alibi_seg.finetune.data import Corpus
    from napari_alibi_seg.finetune.logs import Figures
    from napari_alibi_seg.finetune.run_config import RunConfig

_CARD = "card.json"


def make_card(
    config: RunConfig,
    made: dict[str, Any],
    corpus: Corpus,
    training: dict[str, Any],
    scores: Figures | None,
    **more: Any,
) -> dict[str, Any]:
    """Return the card of a training run; paths in it are reduced to file names.

    Parameters
    ----------
    config : RunConfig
        All options.
    made : dict
        Entries on the exported weights and the model they were trained from.
    corpus : Corpus
        Training and validation pictures.
    training : dict
        Progress of the training, and whether the schedule is complete.
    scores : Figures or None
        Latest validation; None if there was none yet.
    **more
        Further entries of the card.
    """
    config = config.without_folders()
    return {
        "licence": config.licence,
        "sources": corpus.sources,
        **made,
        "data": _data_section(corpus),
        "training": training,
        "figures": {} if scores is None else asdict(scores),
        "config": json.loads(config.to_json()),
        **more,
        "software": versions(),
    }


def write_card(folder: Path, card: dict[str, Any]) -> None:
    """Write ``card.json``."""
    with replacing(folder / _CARD) as aside:
        aside.write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")


def write_readable_card(folder: Path, title: str, card: dict[str, Any]) -> None:
    """Write ``card.md``, with one table per section of the card."""
    with replacing(folder / "card.md") as aside:
        aside.write_text(_markdown(title, card), encoding="utf-8", errors="replace")


def earlier_training(student: Path) -> dict[str, Any]:
    """Return training, options and ancestry of the run that made a student, from its card.

    Empty if there is no such file or no readable card beside it.
    """
    if not student.is_file():
        return {}
    try:
        card = json.loads((student.parent / _CARD).read_text(encoding="utf-8"))
        return {key: card[key] for key in ("training", "config", "earlier") if card.get(key)}
    except (OSError, ValueError, AttributeError):
        return {}


def _markdown(title: str, card: dict[str, Any]) -> str:
    parts = [f"# {title}", ""]
    parts += [f"Licence of the weights: {card['licence']}", ""]
    for title, rows in card.items():
        if isinstance(rows, dict):
            parts += [f"## {title.capitalize()}", "", "| | |", "|---|---|"]
            parts += [f"| {key} | {_cell(value)} |" for key, value in rows.items()] + [""]
    lines = card["sources"].splitlines() or ["not told; see --sources"]
    parts += ["## Sources of the images", "", *(f"> {line}".rstrip() for line in lines), ""]
    return "\n".join(parts)


def _data_section(corpus: Corpus) -> dict[str, Any]:
    """Return the number of pictures by split and folder, their digest and the skipped files."""
    pictures = corpus.training + corpus.validation
    folders = Counter(
        picture.name.rpartition("/")[0] or picture.path.parent.name for picture in pictures
    )
    return {
        "training": len(corpus.training),
        "validation": len(corpus.validation),
        "folders": dict(sorted(folders.items())),
        "sha256": corpus.digest(),
        "skipped": corpus.skipped,
    }


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, dict):
        return ", ".join(f"{key}: {_cell(item)}" for key, item in value.items()) or "none"
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)

"""Model cards: from what and how the weights were trained, and how good they are."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_alibi_seg.core.headers import versions
from napari_alibi_seg.core.model.checkpoints import load_backbone
from napari_alibi_seg.core.writing import replacing

if TYPE_CHECKING:
    from napari_alibi_seg.core.model.backbone import BackboneIdentity
    from napari_alibi_seg.finetune.config import FinetuneConfig
    from napari_alibi_seg.finetune.data import Corpus
    from napari_alibi_seg.finetune.filter_validation import FilterScores
    from napari_alibi_seg.finetune.run_config import RunConfig
    from napari_alibi_seg.finetune.state import State
    from napari_alibi_seg.finetune.validation import Scores

CARD_FILE = "card.json"
"""Name of the card in a run's folder."""


def make_card(
    config: FinetuneConfig,
    state: State,
    teacher: BackboneIdentity,
    corpus: Corpus,
    scores: Scores | None,
    student: Path,
) -> dict[str, Any]:
    """Return the card of an exported student.

    Returns
    -------
    dict
        As from `card_of`, with the entries ``student``, ``teacher`` and ``earlier``. ``earlier``
        holds the training and options of the run that made the student in `config.init`, and
        recursively of the run before that; it is empty if there is none or its card is missing.
    """
    identity = load_backbone(student)[1]
    made = {
        "student": {
            "file": student.name,
            "sha256": hashlib.sha256(student.read_bytes()).hexdigest(),
            "weights": identity.weights,
            "architecture": identity.architecture,
            "geometry": json.loads(config.geometry.to_json()),
        },
        "teacher": {
            "name": config.without_folders().teacher,
            "architecture": teacher.architecture,
            "weights": teacher.weights,
        },
    }
    training = {
        "steps": state.step,
        "crops": state.crops,
        "complete": state.step == config.steps,
    }
    earlier = _earlier_training(Path(config.init))
    return card_of(config, made, corpus, training, scores, earlier=earlier)


def card_of(
    config: RunConfig,
    made: dict[str, Any],
    corpus: Corpus,
    training: dict[str, Any],
    scores: Scores | FilterScores | None,
    **more: Any,
) -> dict[str, Any]:
    """Return the card of any training run; paths in it are reduced to file names.

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
    scores : Scores, FilterScores or None
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
    """Write ``card.json`` and ``card.md``."""
    texts = {CARD_FILE: json.dumps(card, indent=1) + "\n", "card.md": _markdown(card)}
    for name, text in texts.items():
        with replacing(folder / name) as aside:
            aside.write_text(text, encoding="utf-8", errors="replace")


def _markdown(card: dict[str, Any]) -> str:
    """Format a card as Markdown, with one table per section."""
    parts = [f"# {card['student']['file']}", ""]
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


def _earlier_training(student: Path) -> dict[str, Any]:
    """Return training, config and ancestry from the card beside a student; {} if unreadable."""
    if not student.is_file():
        return {}
    try:
        card = json.loads((student.parent / CARD_FILE).read_text(encoding="utf-8"))
        return {key: card[key] for key in ("training", "config", "earlier") if card.get(key)}
    except (OSError, ValueError, AttributeError):
        return {}


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, dict):
        return ", ".join(f"{key}: {_cell(item)}" for key, item in value.items()) or "none"
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)

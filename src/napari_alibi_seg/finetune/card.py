"""The model card: what a student was made from, how, and how good it is."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_alibi_seg.core.model.checkpoints import load_backbone
from napari_alibi_seg.core.writing import replacing, versions

if TYPE_CHECKING:
    from napari_alibi_seg.core.model.backbone import BackboneIdentity
    from napari_alibi_seg.finetune.config import FinetuneConfig
    from napari_alibi_seg.finetune.data import Corpus
    from napari_alibi_seg.finetune.state import State
    from napari_alibi_seg.finetune.validation import Scores

CARD_FILE = "card.json"
"""Name of the card in a run's folder."""


@dataclass(frozen=True)
class Card:
    """A model card.

    Attributes
    ----------
    licence : str
        Of the weights.
    sources : str
        Where the pictures come from and under which licences, as told; empty if it was not.
    student : dict
        File name, its SHA-256, hash of the weights as models are identified by, architecture and
        geometry.
    teacher : dict
        Name and weights hash.
    data : dict
        Number of pictures per folder and part, hash of the list, files skipped.
    training : dict
        Steps and crops done, and whether the schedule is complete.
    figures : dict
        The last validation (`Scores`); empty if there was none yet.
    config : dict
        All options.
    earlier : dict
        Training and options of the run whose student this one started from, and of the one before
        that; empty if it started from the teacher or nothing is known.
    software : dict
        Versions.
    """

    licence: str
    sources: str
    student: dict[str, Any]
    teacher: dict[str, Any]
    data: dict[str, Any]
    training: dict[str, Any]
    figures: dict[str, Any]
    config: dict[str, Any]
    earlier: dict[str, Any]
    software: dict[str, str]

    def write(self, folder: Path) -> None:
        """Write ``card.json`` and ``card.md``."""
        texts = {CARD_FILE: json.dumps(asdict(self), indent=1) + "\n", "card.md": self.markdown()}
        for name, text in texts.items():
            with replacing(folder / name) as aside:
                aside.write_text(text, encoding="utf-8", errors="replace")

    def markdown(self) -> str:
        """Return the card for people: one table per part."""
        parts = [f"# {self.student['file']}", ""]
        parts += [f"Licence of the weights: {self.licence}", ""]
        for title, rows in asdict(self).items():
            if isinstance(rows, dict):
                parts += [f"## {title.capitalize()}", "", "| | |", "|---|---|"]
                parts += [f"| {key} | {_cell(value)} |" for key, value in rows.items()] + [""]
        told = self.sources.splitlines() or ["not told; see --sources"]
        parts += ["## Sources of the images", "", *(f"> {line}".rstrip() for line in told), ""]
        return "\n".join(parts)


def make_card(
    config: FinetuneConfig,
    state: State,
    teacher: BackboneIdentity,
    corpus: Corpus,
    scores: Scores | None,
    student: Path,
) -> Card:
    """Return the card of an exported student, without the folders of this machine."""
    earlier = _told_before(Path(config.init))
    config = config.without_folders()
    made = load_backbone(student)[1]
    return Card(
        licence=config.licence,
        sources=corpus.sources,
        student={
            "file": student.name,
            "sha256": hashlib.sha256(student.read_bytes()).hexdigest(),
            "weights": made.weights,
            "architecture": made.architecture,
            "geometry": json.loads(config.geometry.to_json()),
        },
        teacher={
            "name": config.teacher,
            "architecture": teacher.architecture,
            "weights": teacher.weights,
        },
        data=told_of(corpus),
        training={
            "steps": state.step,
            "crops": state.crops,
            "complete": state.step == config.steps,
        },
        figures={} if scores is None else asdict(scores),
        config=json.loads(config.to_json()),
        earlier=earlier,
        software=versions(),
    )


def told_of(corpus: Corpus) -> dict[str, Any]:
    """Return what a card tells of the pictures: how many of which folders, hash, files skipped."""
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


def _told_before(student: Path) -> dict[str, Any]:
    """Return what the card beside a student tells of its making; nothing if it is no file."""
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

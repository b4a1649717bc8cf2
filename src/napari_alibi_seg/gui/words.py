"""What the window says, put together from what is known."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_alibi_seg.core.assessment import Assessment
    from napari_alibi_seg.core.live_records import FeatureProgress, Painted, PlaneDone
    from napari_alibi_seg.gui.pace import Estimate
    from napari_alibi_seg.gui.records import PaintClass

_DEVICES = {"cpu": "CPU", "cuda": "GPU", "mps": "Apple GPU"}


def features_words(progress: FeatureProgress, device: str) -> tuple[str, str]:
    """Return what the chip says of features, and its tip."""
    where = _DEVICES.get(device, device)
    tip = f"{progress.total} tiles, {progress.megabytes:.0f} MB, computed on the {where}"
    if progress.done == progress.total:
        return f"Ready · {where}", tip
    percent = f"{100 * progress.done // progress.total} %"
    if progress.seconds_left is None:
        return f"{percent} · {progress.megabytes:.0f} MB · {where}", tip
    return f"{percent} · {duration(progress.seconds_left)} left · {where}", tip


def duration(seconds: float) -> str:
    """Return a time as a person would say it."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    if seconds < 5400:
        return f"{round(seconds / 60)} min"
    return f"{seconds / 3600:.1f} h"


def estimate_words(what: str, estimate: Estimate) -> str:
    """Return what a long run will take, as a question to the person."""
    size = estimate.megabytes
    memory = f"{size:.0f} MB" if size < 1000 else f"{size / 1000:.1f} GB"
    return (
        f"{what} will take about {duration(estimate.seconds)} and {memory} of memory on this "
        "computer. You can go on working meanwhile."
    )


ACCURACY = (
    "How much of this plane is expected to be right, and the range that should hold the truth nine "
    "times in ten. It is estimated from the votes of the trees and from strokes left out; where "
    "the forest is sure and wrong it is too high, so compare with your own eyes."
)
WELCOME = "Open an image, or one of the samples: File, Open Sample."


def facts(
    classes: Sequence[PaintClass],
    painted: Painted,
    done: PlaneDone | None,
    assessment: Assessment | None,
    preliminary: bool,
) -> str:
    """Return what is painted and what came out of it, as rich text."""
    kinds = len(painted.pixels)
    if kinds < 2:
        what = "a stroke in another class" if kinds else "a stroke in each of two classes"
        return f"Paint {what}; the result follows by itself."
    lines = [f"{kinds} classes · {_counted(painted.strokes, 'stroke')}"]
    if preliminary:
        lines.append("<i>Preliminary, by pixel filters, until the features are ready.</i>")
    elif done is not None:
        lines.append(("This plane: " if done.plane else "") + _fractions(classes, done))
    if assessment is not None and not preliminary:
        lines.append(_accuracy(assessment))
    return "<br>".join(lines)


def _accuracy(assessment: Assessment) -> str:
    known = assessment.accuracy
    value, low, high = (round(100 * part) for part in (known.value, known.low, known.high))
    return f"About {value} % of the pixels right ({low} to {high} %)"


def _fractions(classes: Sequence[PaintClass], done: PlaneDone) -> str:
    total = sum(done.pixels.values()) or 1
    parts = []
    for known in classes:
        if known.value in done.pixels:
            red, green, blue = known.colour
            mark = f'<span style="color: rgb({red}, {green}, {blue})">■</span>'
            share = f"{100 * done.pixels[known.value] / total:.1f} %"
            parts.append(f"{mark}&nbsp;{escape(known.name)}&nbsp;{share}")
    return " &nbsp; ".join(parts)


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"

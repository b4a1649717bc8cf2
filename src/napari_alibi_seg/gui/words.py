"""Compose the longer texts of the window."""

from __future__ import annotations

import re
from functools import partial
from html import escape
from typing import TYPE_CHECKING

from napari_alibi_seg.core.errors import NO_DATA
from napari_alibi_seg.core.images.levels import CONSTANT
from napari_alibi_seg.core.judging.expectation import is_unlike
from napari_alibi_seg.core.judging.fractions import interval
from napari_alibi_seg.core.naming import first_few, listed
from napari_alibi_seg.gui.records import ResultState

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from napari_alibi_seg.core.forest.scribbles import ScribbleCounts
    from napari_alibi_seg.core.images.pixel_size import PixelSize
    from napari_alibi_seg.core.judging.assessment import Assessment
    from napari_alibi_seg.core.judging.expectation import Expectation
    from napari_alibi_seg.core.live.records import FeatureProgress, PlaneDone
    from napari_alibi_seg.gui.pace import RunEstimate
    from napari_alibi_seg.gui.records import PaintClass

_READABLE = {"m": 1.0, "mm": 1e-3, "µm": 1e-6, "nm": 1e-9}
_LEAST = 0.1
_FIGURE = "\u2007"  # a space as wide as a figure
_WIDEST = len("99.9 %")
BREAK = "\u200b"
"""Marks where a long name may be broken across lines."""
_JOINT = re.compile(r"(?<=\S{12})([/\\_:.-])(?=\S)")
_CELL, _LINE = 12, 24  # characters
_DEVICES = {"cpu": "CPU", "cuda": "GPU", "mps": "Apple GPU"}
_NOT_FINAL = {
    ResultState.PRELIMINARY: "Preliminary, from pixel filters, until the features are ready.",
    ResultState.OUTLIVED: "Still the previous result, until the features are ready.",
    ResultState.WAITING: "Press Update once for a current result.",
}


def features_words(progress: FeatureProgress, device: str) -> tuple[str, str]:
    """Return the text and tooltip of the chip for the features."""
    where = _DEVICES.get(device, device)
    tiles = counted(progress.total, "tile")
    scale = f"scale {progress.scale}"
    tip = f"{tiles} at {scale}, {progress.megabytes:.0f} MB, computed on the {where}"
    if progress.done == progress.total:
        return f"Ready · {scale} · {where}", tip
    percent, left = f"{100 * progress.done // progress.total} %", duration(progress.seconds_left)
    return f"{percent} · {left} · {where}", f"{tip}; about {left} left"


def duration(seconds: float) -> str:
    """Return a duration in readable units."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    if seconds < 5400:
        return f"{round(seconds / 60)} min"
    return f"{seconds / 3600:.1f} h"


def breakable(words: str, most: int = _LINE) -> str:
    """Allow line breaks in long names at punctuation, or after `most` characters."""
    jointed = _JOINT.sub(rf"\1{BREAK}", words)
    return re.sub(rf"([^\s{BREAK}]{{{most}}})(?=[^\s{BREAK}]{{3}})", rf"\1{BREAK}", jointed)


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, in the plural if needed."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def estimate_words(what: str, estimate: RunEstimate) -> str:
    """Return the message about time and memory of a long run."""
    size = estimate.megabytes
    memory = f"{size:.0f} MB" if size < 1000 else f"{size / 1000:.1f} GB"
    guessed = "" if estimate.measured else " (a guess: nothing measured yet)"
    return (
        f"{what} will take about {duration(estimate.seconds)} and {memory} of memory on this "
        f"computer{guessed}. You can keep working meanwhile."
    )


def replaced_words(existing: Sequence[Path]) -> str:
    """Return the message about files that would be replaced."""
    what = f"{counted(len(existing), 'file')} in {existing[0].parent}"
    return f"{what} would be replaced: {listed(existing)}."


def footer_words(rows: int) -> str:
    """Return the message that ignored rows at the foot are left out of all images."""
    return (
        f"The {counted(rows, 'row')} at the foot that you ignore on this image will be left out "
        "of every image."
    )


def left_words(images: Sequence[str], layers: Sequence[str]) -> str:
    """Return the message that layers of removed images are still there."""
    were, them = ("was", "it") if len(images) == 1 else ("were", "them")
    removed = " and ".join(map(repr, images))
    left = first_few(list(map(repr, layers)), 4)
    return f"{removed} {were} removed. What belongs to {them} is still there: {left}."


def lost_words(names: Sequence[str]) -> str:
    """Return the message that some classes are painted only where there is no data."""
    return f"All you painted of {first_few(names)} {NO_DATA}; paint where there is data."


ACCURACY = (
    "How much of this plane is expected to be right, with the range that should contain the true "
    "value nine times in ten. It is estimated from the votes of the trees and from strokes left "
    "out of training; where the forest is confidently wrong it is too high, so check by eye."
)
FRACTIONS = (
    "The same goes for the ranges of the fractions; where classes look alike, in tests they "
    "contained the true fraction far less often."
)
VOTED = (
    "Ranges are estimated from the votes of the trees and should contain the true value nine times "
    "in ten, as far as this plane is like those painted; check by eye."
)
SETTLED = "More strokes like these would change little."
UNRECOGNISED = (
    "No ranges: strokes left out of the classifier's training are not recognised, or too few to "
    "leave some out."
)
UNLIKE = "No ranges: this looks unlike what was painted. Check by eye."
ALIKE = "Strokes left out of training are not recognised: to the forest, the classes look alike."
NO_PIXEL_SIZE = (
    "No pixel size is known, so there are no areas: give the layer a scale and units (how-to: "
    "Publish the numbers)."
)
WELCOME = "Open an image, or one of the samples: File, Open Sample."


def facts(
    classes: Sequence[PaintClass],
    counts: ScribbleCounts,
    done: PlaneDone | None,
    assessment: Assessment | None,
    expected: Expectation | None,
    state: ResultState,
    *,
    loaded: bool,
    size: PixelSize | None = None,
    on_screen: bool = True,
) -> str:
    """Return a summary of strokes and result as rich text.

    Parameters
    ----------
    classes, counts, done, assessment, expected, state
        The present state.
    loaded : bool
        Whether a classifier from a file is applied.
    size : PixelSize, optional
        Pixel size of the image, if known.
    on_screen : bool
        Whether the plane is what the screen shows, rather than a section across it or a volume.
    """
    kinds = len(counts.pixels)
    if kinds < 2 and not loaded:
        what = "a stroke in another class" if kinds else "a stroke in each of two classes"
        if any(info.ignored for info in classes):
            what += " that is not ignored" if kinds else " that are not ignored"
        then = "a result follows automatically" if done is None else "what you see is an old result"
        return f"Paint {what}; {then}."
    strokes = f"{kinds} classes · {counted(counts.strokes, 'stroke')}"
    words = "From the loaded classifier" if loaded else strokes
    if state is not ResultState.FINAL:
        return f"{words}<br><i>{_NOT_FINAL[state]}</i>"
    if done is not None:
        number = ", ".join(map(str, done.plane))
        words += f" · {'this plane' if on_screen else f'plane {number}'}" if number else ""
        words += f" · {_pixel_words(size)}" if size is not None else ""
        words += _fractions(classes, done, expected)
        words += f"<div>The image {CONSTANT}.</div>" if done.flat else ""
        words += _no_ranges(done, loaded) if done.voted is not None and expected is None else ""
    return words if assessment is None else f"{words}<div>{_accuracy(assessment)}</div>"


def facts_tip(
    classes: Sequence[PaintClass],
    done: PlaneDone | None,
    assessment: Assessment | None,
    expected: Expectation | None,
    size: PixelSize | None,
) -> str:
    """Return class areas, if the pixel size is known, and the meaning of the ranges."""
    parts = []
    if done is not None and size is not None:
        rows = [_area_cells(info, done, expected, size) for info in _found(classes, done)]
        parts.append(f"<table>{''.join(rows)}</table>")
    elif done is not None:
        parts.append(f"<p>{NO_PIXEL_SIZE}</p>")
    if assessment is not None and assessment.recognises:
        parts.append(f"<p>{ACCURACY} {FRACTIONS}</p>{_curve(assessment)}")
    elif expected is not None and not expected.assessed:
        parts.append(f"<p>{VOTED}</p>")
    return "".join(parts)


def area_words(area: float, size: PixelSize, beside: float | None = None) -> str:
    """Return an area, given in the pixel size's unit squared, in a readable unit.

    If another area is given as `beside`, the unit is chosen for that one.
    """
    metres, deciding = size.metres_per_unit or 0.0, area if beside is None else beside
    for unit, length in _READABLE.items():
        factor = (metres / length) ** 2
        if deciding * factor >= _LEAST:
            return f"{_plain_number(area * factor)} {unit}²"
    return f"{_plain_number(area)} {escape(size.unit)}²"


def shares_words(pixels: Mapping[int, int], classes: Sequence[PaintClass]) -> str:
    """Return the percentages of the classes found, as plain text."""
    total, named = sum(pixels.values()), [info for info in classes if info.value in pixels]
    return ", ".join(f"{info.name} {100 * pixels[info.value] / total:.1f} %" for info in named)


def _pixel_words(size: PixelSize) -> str:
    sides = dict.fromkeys(f"{side:.4g}" for side in (size.y, size.x))
    return f"{' by '.join(sides)} {escape(size.unit)}/px"


def _no_ranges(done: PlaneDone, loaded: bool) -> str:
    """Return why votes do not count, unless the words on the strokes tell."""
    if is_unlike(done.novelty):
        return f"<div>{UNLIKE}{'' if loaded else ' Or paint here, too.'}</div>"
    return f"<div>{UNRECOGNISED}</div>" if loaded else ""


def _accuracy(assessment: Assessment) -> str:
    if not assessment.recognises:
        return ALIKE
    accuracy = assessment.accuracy
    value, low, high = (round(100 * part) for part in (accuracy.value, accuracy.low, accuracy.high))
    words = f"About {value} % of the pixels right ({low}&nbsp;to&nbsp;{high}&nbsp;%)"
    return f"{words}<br>{SETTLED}" if assessment.settled else words


def _curve(assessment: Assessment) -> str:
    """Return how the accuracy grew with the strokes, judged by all of them."""
    *fewer, _ = assessment.curve
    parts = [f"{100 * point.accuracy:.0f} % from {point.strokes}" for point in fewer]
    return f"<p>Judged by all strokes, fewer gave {', '.join(parts)}.</p>" if parts else ""


def _fractions(classes: Sequence[PaintClass], done: PlaneDone, expected: Expectation | None) -> str:
    rows = []
    for info in _found(classes, done):
        share, (low, high) = _share(info, done, expected)
        cells = _named(info) + _cell(f"{100 * share:.1f} %".rjust(_WIDEST, _FIGURE))
        if low is not None and high is not None:
            cells += _cell(f"({100 * low:.0f} to {100 * high:.0f} %)")
        rows.append(f"<tr>{cells}</tr>")
    return f'<table cellspacing="0">{"".join(rows)}</table>'


def _area_cells(
    info: PaintClass, done: PlaneDone, expected: Expectation | None, size: PixelSize
) -> str:
    _, (low, high) = _share(info, done, expected)
    words = partial(area_words, size=size, beside=min(done.pixels.values()) * size.area)
    cells = _named(info) + _cell(words(done.pixels[info.value] * size.area))
    if low is not None and high is not None:
        whole = sum(done.pixels.values()) * size.area
        cells += _cell(f"({words(low * whole)} to {words(high * whole)})")
    return f"<tr>{cells}</tr>"


def _found(classes: Sequence[PaintClass], done: PlaneDone) -> list[PaintClass]:
    return [info for info in classes if info.value in done.pixels]


def _share(
    info: PaintClass, done: PlaneDone, expected: Expectation | None
) -> tuple[float, tuple[float, float] | tuple[None, None]]:
    share = done.pixels[info.value] / sum(done.pixels.values())
    return share, interval(info.value, share, expected)


def _named(info: PaintClass) -> str:
    red, green, blue = info.colour
    mark = f'<span style="color: rgb({red}, {green}, {blue})">■</span>'
    return f"<td>{mark}&nbsp;</td><td>{escape(breakable(info.name, _CELL))}</td>"


def _cell(words: str) -> str:
    """Return a table cell without line breaks."""
    return f"<td>&nbsp;&nbsp;{words.replace(' ', '&nbsp;')}</td>"


def _plain_number(number: float) -> str:
    return f"{number:.0f}" if number >= 1000 else f"{number:.3g}"

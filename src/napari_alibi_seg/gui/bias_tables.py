"""What a positional bias report measured, in rich text."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

_BAR = 200
_COLOURS = ("#0072b2", "#e69f00")
_FIGURES: dict[str, tuple[str, Callable[[float], float]]] = {
    "authors_r2": ("features predict position, R²", float),
    "flip_disagreement": ("pixels that change class, flipped", float),
    "shift_disagreement": ("pixels that change class, shifted", float),
    "tile_cosine": ("tile against whole, 1 - cosine", lambda cosine: 1 - cosine),
}
_MEANING = (
    "<p>Shorter bars are better. R² is 1 if features reveal where on the image a patch lies; on "
    "a single image, smoothness alone reaches 0.5. A small shift hardly affects even a model that "
    "relies on position.</p>"
)


def report_text(place: str, summary: dict[str, Any]) -> str:
    """Return the whole text on a report of a plane, named by `place`."""
    return f"<p>{escape(place)}</p>{finding(summary)}{table(summary)}{_MEANING}"


def finding(summary: dict[str, Any]) -> str:
    """Return the models, their colours and what a flip of the image changes, in rich text."""
    lines = ["<b>Pixels that change class if flipped:</b>"]
    for model, colour in zip(summary["models"].values(), _COLOURS, strict=False):
        share = model.get("flip_disagreement")
        known = "-" if share is None else f"{100 * share:.0f} %"
        lines.append(f"<font color='{colour}'>■</font> {escape(model['label'])}: {known}")
    return f"<p>{'<br>'.join(lines)}</p>"


def table(summary: dict[str, Any]) -> str:
    """Return the measured values as bars in the colours of the models, in rich text.

    Parameters
    ----------
    summary : dict
        The contents of ``summary.json`` for one image.
    """
    models = [*zip(summary["models"].values(), _COLOURS, strict=False)]
    rows = []
    for key, (words, harm) in _FIGURES.items():
        found = [(model.get(key), colour) for model, colour in models]
        if any(value is not None for value, _ in found):
            rows.append(f"<tr><td colspan='2'>{words}</td></tr>")
            for value, colour in found:
                shown = value if value is None else harm(value)
                rows.append(f"<tr><td>{_bar(shown, colour)}</td><td>{_number(shown)}</td></tr>")
    return f"<table cellpadding='2'>{''.join(rows)}</table>"


def _bar(value: float | None, colour: str) -> str:
    width = round(_BAR * min(max(value or 0.0, 0.0), 1.0))
    filled = f"<td width='{width}' bgcolor='{colour}'>&nbsp;</td>" if width else ""
    rest = f"<td width='{_BAR - width}'>&nbsp;</td>" if width < _BAR else ""
    return f"<table cellspacing='0' cellpadding='0'><tr>{filled}{rest}</tr></table>"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"

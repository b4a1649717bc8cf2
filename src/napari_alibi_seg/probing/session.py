"""A probing run: from images and models to a folder of tables, figures and a report."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_alibi_seg.core.errors import ImageError, ModelError
from napari_alibi_seg.core.progress import silent
from napari_alibi_seg.core.writing import replacing, require_new_folder
from napari_alibi_seg.probing.figures import draw
from napari_alibi_seg.probing.inputs import ProbedModel, find_images, read_square, unique_names
from napari_alibi_seg.probing.measure import Measurement
from napari_alibi_seg.probing.records import Probing
from napari_alibi_seg.probing.report import write_report
from napari_alibi_seg.probing.summary import summary_json
from napari_alibi_seg.probing.tables import write_tables

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from napari_alibi_seg.core.progress import Progress
    from napari_alibi_seg.probing.inputs import Square
    from napari_alibi_seg.probing.records import ProbingConfig


def probe(
    sources: Sequence[Path],
    models: Sequence[str],
    output: Path,
    config: ProbingConfig,
    progress: Progress = silent,
) -> Probing:
    """Probe models on images and write the results.

    Parameters
    ----------
    sources : sequence of Path
        Image files, folders and patterns.
    models : sequence of str
        Names or paths; see `napari_alibi_seg.core.model.debiasing.load_model`.
    output : Path
        A folder that does not exist yet or is empty; it is written only once all is done.
    config : ProbingConfig
        Settings of the probing.
    progress : callable
        Receives the progress.

    Returns
    -------
    Probing
        The measurements; `failed` names copies, and images and models that could not be read.

    Raises
    ------
    OutputError
        If the output folder is not empty or cannot be written.
    ImageError
        If no image can be read.
    ModelError
        If no model can be loaded.
    """
    require_new_folder(output, "move away what is there")
    paths, unreadable = find_images(sources)
    measurements, unknown = _loaded(models, config)
    with replacing(output) as folder:
        folder.mkdir()
        probing = _measured(paths, unreadable | unknown, measurements, config, progress)
        summary = summary_json(probing)
        (folder / "summary.json").write_text(summary, encoding="utf-8", errors="replace")
        write_tables(probing, folder)
        figures = draw(probing)
        for name, figure in figures.items():
            figure.savefig(folder / f"{name}.png", dpi=160)
            figure.savefig(folder / f"{name}.svg")
        write_report(probing, figures, folder)
    return probing


def _loaded(
    models: Sequence[str], config: ProbingConfig
) -> tuple[list[Measurement], dict[str, str]]:
    """Return a measurement per model that can be loaded, and the errors of the others."""
    loaded, failed = [], {}
    for name in dict.fromkeys(models):
        try:
            loaded.append(Measurement(ProbedModel.load(name), config))
        except ModelError as error:
            failed[name] = str(error)
    if not loaded:
        raise ModelError(" ".join(failed.values()))
    return loaded, failed


def _measured(
    paths: Sequence[Path],
    unreadable: dict[str, str],
    measurements: Sequence[Measurement],
    config: ProbingConfig,
    progress: Progress,
) -> Probing:
    names, failed = unique_names(paths), dict(unreadable)
    shapes: dict[str, tuple[int, int]] = {}
    usable: dict[str, Path] = {}
    first: Square | None = None
    for number, path in enumerate(paths):
        progress("probing", number, len(paths))
        try:
            square = read_square(path)
        except ImageError as error:
            failed[names[path]] = str(error)
            continue
        same = usable.setdefault(square.content, path)
        if same != path:
            failed[names[path]] = f"{names[path]} shows the same pixels as {names[same]}."
            continue
        for measurement in measurements:
            measurement.add(square)
        shapes[names[path]] = square.shape
        first = first or square
    if first is None:
        raise ImageError(
            f"None of {len(paths)} images can be read, the first because: "
            f"{next(iter(failed.values()))}"
        )
    tested = _spread([*usable.values()], config.stability_images)
    for number, path in enumerate(tested):
        progress("tiles, flips and shifts", number, len(tested))
        square = read_square(path)
        for measurement in measurements:
            measurement.add_stability(names[path], square)
    models = tuple(measurement.result() for measurement in measurements)
    return Probing(config, shapes, failed, first, models)


def _spread(paths: Sequence[Path], count: int) -> list[Path]:
    """Return some of the paths, spread evenly; the first, which the figures show, is one."""
    chosen = np.linspace(0, len(paths) - 1, min(count, len(paths)), dtype=int)
    return [paths[number] for number in chosen]

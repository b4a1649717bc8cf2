"""The command ``demo``: segment the bundled example, e.g. to check an installation."""

from __future__ import annotations

from importlib.resources import as_file, files
from pathlib import Path
from typing import TYPE_CHECKING

from napari_alibi_seg.cli.options import add_command, add_device_option
from napari_alibi_seg.core.terminal import Bars, tell

if TYPE_CHECKING:
    import argparse

    from napari_alibi_seg.cli.options import Commands


def add_to(commands: Commands) -> None:
    """Add the command and its options."""
    command = add_command(commands, "demo", demo)
    command.add_argument(
        "--output",
        type=Path,
        default=Path("demo"),
        metavar="DIR",
        help="output folder (default %(default)s)",
    )
    add_device_option(command)
    command.add_argument("--show", action="store_true", help="open the result in napari")


def demo(options: argparse.Namespace) -> int:
    """Segment the bundled micrograph from its hand-drawn scribbles."""
    from napari_alibi_seg.cli.overlay import overlay_picture
    from napari_alibi_seg.core.classes import ClassInfo
    from napari_alibi_seg.core.images.micrograph import planes_of, read_image
    from napari_alibi_seg.core.runs.batch import write_segmentation
    from napari_alibi_seg.core.runs.results import read_scribbles
    from napari_alibi_seg.core.segmentation import Segmenter
    from napari_alibi_seg.core.writing import replacing, require_free

    labels, picture = options.output / "segmentation.tif", options.output / "overlay.png"
    require_free([], [labels, picture])
    with as_file(files("napari_alibi_seg") / "samples") as samples:
        image = read_image(samples / "superalloy.png")
        scribbles = read_scribbles(samples / "superalloy_scribbles.png", image)
    with Bars() as bars:
        segmenter = Segmenter(device=options.device, progress=bars)
        names = ("matrix", "large gamma prime", "small gamma prime")
        classes = [ClassInfo.default(value, name) for value, name in enumerate(names, start=1)]
        classifier = segmenter.fit(image, scribbles, classes)
        [(index, result)] = segmenter.apply(classifier, image)
    name, planes = "superalloy.png", [(index, result)]
    measured = write_segmentation(labels, image, result.labels.dtype, name, classifier, planes)
    with replacing(picture) as aside:
        overlay_picture(planes_of(image)[index], scribbles, result, measured).save(aside)
    tell(f"segmentation: {labels}\noverlay:      {picture}  <- look at this one")
    for known in measured:
        tell(f"{known.name:>17}: {100 * (known.fraction or 0):4.1f} % of the area")
    if options.show:
        from napari_alibi_seg.gui.show import show

        show(image.data, scribbles, result)
    return 0

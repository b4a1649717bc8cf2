"""Options shared by several commands."""

from __future__ import annotations

import argparse
import math
import string
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from napari_alibi_seg.core.choices import (
    CLASSICAL,
    COMPONENT_COUNTS,
    COMPONENTS,
    DEFAULT_MODEL,
    LARGEST_CLASS,
    LARGEST_SEED,
    SCALE,
    SCALES,
    SMOOTHING,
    SMOOTHING_RADII,
    TREE_COUNTS,
    TREES,
    Forest,
)
from napari_alibi_seg.core.classes import ClassInfo
from napari_alibi_seg.core.images.pixel_size import PixelSize, calibrate
from napari_alibi_seg.core.terminal import whole

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_alibi_seg.core.config import SegmentationConfig
    from napari_alibi_seg.core.images.micrograph import Region

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
"""The argparse object to which commands are added."""

_DATASET = (
    "which array of an HDF5 file or Zarr folder, by its path in it, or which image (0, 1, ...) of "
    "a TIFF"
)
_FORESTS = tuple(forest.value for forest in Forest)


def add_command(
    commands: Commands, name: str, run: Callable[[argparse.Namespace], int]
) -> argparse.ArgumentParser:
    """Add a command; the docstring of `run` becomes its help and description."""
    command = commands.add_parser(name, help=run.__doc__, description=run.__doc__)
    command.add_argument("--verbose", action="store_true", help="show the traceback of an error")
    command.set_defaults(run=run, misuse=command.error)
    return command


def add_image_options(command: argparse.ArgumentParser) -> None:
    """Add the options for reading an image: --axes, --dataset, --channels."""
    command.add_argument("--axes", metavar="A", help="names of the image's axes, e.g. ZYX or YXS")
    command.add_argument("--dataset", metavar="PATH", help=_DATASET)
    command.add_argument(
        "--channels",
        type=_channels,
        metavar="I[,J...]",
        help="channel to use as grey, or several to use together; counted from 0",
    )


def add_pixel_size_option(command: argparse.ArgumentParser) -> None:
    """Add the option for the physical size of a pixel: --pixel-size."""
    command.add_argument(
        "--pixel-size",
        type=_pixel_size,
        metavar="LENGTH",
        help="side length of a pixel, e.g. 4nm or 0.25um; overrides the file's, but not the "
        "distance between its planes",
    )


def add_region_option(command: argparse.ArgumentParser) -> None:
    """Add the option for the part of an image to segment: --region."""
    command.add_argument(
        "--region",
        type=_region,
        metavar="ROWS[,COLUMNS]",
        help="part of the image to segment, e.g. 0:960,0:1280, or :-64 to leave out the bottom "
        "64 rows; labels are 0 elsewhere; with = before a minus, as in --region=-64: for these "
        "rows alone",
    )


def reading_words(options: argparse.Namespace) -> str:
    """Return the options by which images are read; empty if none is given.

    They have no dashes, which spreadsheets would take for formulas.
    """
    size, spacing = options.pixel_size, options.spacing
    parts = ([part.start, part.stop] for part in options.region or ())
    given = {
        "axes": options.axes,
        "dataset": options.dataset,
        "channels": ",".join(map(str, options.channels or ())),
        "spacing": spacing and f"{spacing:.9g}",
        "pixel-size": size and f"{size.side:.9g}{size.unit}",
        "region": ",".join(
            ":".join("" if end is None else str(end) for end in part) for part in parts
        ),
    }
    return " ".join(f"{name}={value}" for name, value in given.items() if value)


def add_model_options(command: argparse.ArgumentParser, others: str) -> None:
    """Add the options for computing features: --model, --scale, --device.

    `others` says in the help of --model what it may be besides the name of a model.
    """
    command.add_argument(
        "--model",
        default=DEFAULT_MODEL,
        metavar="M",
        help=f"a name listed by `models`, {others} (default %(default)s); append +flips or +blank "
        "to reduce positional bias",
    )
    command.add_argument(
        "--scale",
        type=int,
        choices=SCALES,
        default=SCALE,
        help="magnification before the backbone (default %(default)s); 2 takes four times as long",
    )
    add_device_option(command)


def add_spacing_option(command: argparse.ArgumentParser) -> None:
    """Add the option for the distance between the planes of a volume: --spacing."""
    command.add_argument(
        "--spacing",
        type=_spacing,
        metavar="R",
        help="distance between planes, in pixels, for 3-D filters (default: from the file's voxel "
        "size, else 1)",
    )


def add_cluster_option(command: argparse.ArgumentParser, what: str) -> None:
    """Add the option for a dask cluster, with the help text `what`: --cluster."""
    command.add_argument("--cluster", metavar="tcp://HOST:PORT", help=what)


def add_device_option(command: argparse.ArgumentParser) -> None:
    """Add the option for the device to compute on: --device."""
    command.add_argument(
        "--device",
        default="auto",
        metavar="D",
        help="device to compute on: auto, cpu, cuda, cuda:N or mps (default %(default)s)",
    )


def add_training_options(command: argparse.ArgumentParser) -> None:
    """Add the options for reading scribbles and for training; see `training_config`."""
    _add_scribbles_options(command)
    _add_forest_options(command)
    _add_channel_options(command)
    add_model_options(command, "a path, or `classical` for no deep features")


def _add_scribbles_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("--scribbles-axes", metavar="A", help="names of the scribbles' axes")
    command.add_argument(
        "--scribbles-dataset", metavar="PATH", help="as --dataset, for the file of the scribbles"
    )
    command.add_argument(
        "--ignore",
        type=_classes,
        default=frozenset(),
        metavar="C[,D]",
        help="painted classes to leave out of training, e.g. one painted over a databar; `segment` "
        "writes 0 there",
    )
    command.add_argument(
        "--names",
        type=_names,
        default=(),
        metavar="C=NAME[,D=NAME]",
        help="class names for the tables of fractions, e.g. 1=matrix,2=pores",
    )


def _add_forest_options(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--seed",
        type=partial(whole, range(LARGEST_SEED + 1)),
        default=0,
        metavar="N",
        help="random seed of the forest (default 0)",
    )
    command.add_argument(
        "--trees",
        type=partial(whole, TREE_COUNTS),
        default=TREES,
        metavar="N",
        help="number of trees in the forest (default %(default)s)",
    )
    command.add_argument(
        "--forest",
        choices=_FORESTS,
        default=_FORESTS[0],
        help="kind of forest: extremely randomised trees or random forest (default %(default)s)",
    )
    command.add_argument(
        "--smoothing",
        type=partial(whole, SMOOTHING_RADII),
        default=SMOOTHING,
        metavar="R",
        help=f"radius, in pixels, of the edge-preserving smoothing of votes; 0 to "
        f"{SMOOTHING_RADII[-1]}, 0 for none (default %(default)s)",
    )


def _add_channel_options(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--components",
        type=partial(whole, COMPONENT_COUNTS),
        default=COMPONENTS,
        metavar="N",
        help="number of principal components of the deep features (default %(default)s)",
    )
    filters = command.add_mutually_exclusive_group()
    filters.add_argument(
        "--no-filters", action="store_true", help="use deep features only, no pixel filters"
    )
    filters.add_argument(
        "--filters-3d",
        action="store_true",
        help="also apply the pixel filters across the planes of a volume; requires an axis Z",
    )
    command.add_argument(
        "--no-learned", action="store_true", help="leave out the learned pixel filters"
    )
    command.add_argument(
        "--no-flatten",
        action="store_true",
        help="leave uneven light as it is, which is otherwise corrected for the pixel filters",
    )
    add_spacing_option(command)


def training_config(options: argparse.Namespace) -> SegmentationConfig:
    """Return the training configuration given by the options of `add_training_options`."""
    from napari_alibi_seg.core.config import ChannelConfig, SegmentationConfig

    if options.no_filters and options.model == CLASSICAL:
        options.misuse(f"--no-filters leaves nothing of --model {CLASSICAL}, which is filters only")
    channels = ChannelConfig.chosen(
        options.components,
        filters=not options.no_filters,
        learned=not options.no_learned,
        filters_3d=options.filters_3d,
        flatten=not options.no_flatten,
    )
    return SegmentationConfig(
        options.model,
        options.scale,
        channels,
        trees=options.trees,
        seed=options.seed,
        forest=Forest(options.forest),
        smoothing=options.smoothing,
    )


def _classes(text: str) -> frozenset[int]:
    return frozenset(whole(range(1, LARGEST_CLASS + 1), part) for part in text.split(","))


def _names(text: str) -> tuple[ClassInfo, ...]:
    pairs = [[side.strip() for side in part.split("=", 1)] for part in text.split(",")]
    if not all(len(pair) == 2 and pair[1] for pair in pairs):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not like 1=matrix,2=pores; names have no comma"
        )
    allowed = range(1, LARGEST_CLASS + 1)
    named = {whole(allowed, value): name for value, name in pairs}
    if len({*named.values()}) < len(pairs):
        raise argparse.ArgumentTypeError(f"{text!r} names a class twice, or two by one name")
    return ClassInfo.given(named)


def _pixel_size(text: str) -> PixelSize:
    number = text.rstrip(string.ascii_letters + "µμÅ").strip()
    length = (number, text[len(number) :].strip())
    size = calibrate({"y": length, "x": length})
    if size is None or size.metres_per_unit is None:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a length, like 4nm; units are m, cm, mm, um, nm, pm and Å"
        )
    return size


def _region(text: str) -> Region:
    parts = [part.split(":") for part in text.split(",")]
    try:
        found = [slice(*(int(end) if end else None for end in part)) for part in parts]
    except ValueError:
        found = []
    if not (1 <= len(found) <= 2 and all(len(part) == 2 for part in parts)):
        raise argparse.ArgumentTypeError(f"{text!r} is not like :-64 or 0:960,0:1280")
    rows, columns = [*found, slice(None)][:2]
    return rows, columns


def _spacing(text: str) -> float:
    try:
        spacing = float(text)
    except ValueError:
        spacing = 0.0
    if not 0 < spacing < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number of pixels, like 2.5")
    return spacing


def _channels(text: str) -> tuple[int, ...]:
    if not all(part.isdecimal() for part in text.split(",")):
        raise argparse.ArgumentTypeError(f"{text!r} is not like 0 or 0,1,2")
    return tuple(int(part) for part in text.split(","))

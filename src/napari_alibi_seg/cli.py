"""The command line: thin over the core.

Exit codes: 0 done, 1 some images of a batch failed, 2 wrong usage, 3 image, 4 scribbles,
5 model, 6 classifier, 7 output, 8 device or memory, 9 project, 130 interrupted.
"""

from __future__ import annotations

import argparse
import glob
import sys
from contextlib import ExitStack
from dataclasses import replace
from importlib.resources import as_file, files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_alibi_seg import __version__
from napari_alibi_seg.core.choices import SCALES, Forest
from napari_alibi_seg.core.errors import AlibiSegError, DeviceError, ImageError, OutputError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari_alibi_seg.core.classifier import ClassInfo, PixelClassifier
    from napari_alibi_seg.core.images import Micrograph
    from napari_alibi_seg.core.segmentation import Segmenter

_ABOUT = "Turn a few scribbles on a micrograph into a segmentation."
_EXIT_CODES = (__doc__ or "").partition("\n\n")[2]
_DEVICE_HELP = "auto, cpu, cuda, cuda:N or mps (default %(default)s)"
_INTERRUPTED = 130
_LARGEST_SEED = 2**32 - 1
_LABELS = "_labels.tif"
_FORESTS = tuple(forest.value for forest in Forest)
_SCALES = {"auto": None} | {str(scale): scale for scale in SCALES}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except KeyboardInterrupt:
        _say("interrupted; nothing unfinished was kept.")
        return _INTERRUPTED
    except MemoryError:
        _say("error: there is too little memory; use --scale 1, or a part of the image.")
        return DeviceError.exit_code
    except AlibiSegError as error:
        if options.verbose:
            raise
        _say(f"error: {error}")
        return error.exit_code


def segment(options: argparse.Namespace) -> int:
    """Train on one image's scribbles and segment it."""
    from napari_alibi_seg.core.classifier_files import save_classifier
    from napari_alibi_seg.core.results import read_scribbles, require_tiff_name
    from napari_alibi_seg.core.segmentation import SegmentationConfig, Segmenter

    tiffs = [path for path in (options.output, options.probabilities) if path]
    for path in tiffs:
        require_tiff_name(path)
    saved = [options.save_classifier] if options.save_classifier else []
    _require_free([options.image, options.scribbles], [*tiffs, *saved])
    image = _read(options.image, options)
    scribbles = read_scribbles(
        options.scribbles, image, axes=options.scribbles_axes, dataset=options.scribbles_dataset
    )
    config = SegmentationConfig(
        options.model, _SCALES[options.scale], seed=options.seed, forest=Forest(options.forest)
    )
    with _Bars() as bars:
        segmenter = Segmenter(config, options.device, progress=bars)
        classifier = segmenter.fit(image, scribbles)
        _write(segmenter, classifier, image, options.output, options.probabilities)
    if options.save_classifier:
        save_classifier(classifier, options.save_classifier)
        print(f"classifier: {options.save_classifier}")
    return 0


def apply(options: argparse.Namespace) -> int:
    """Segment many images with one classifier, or a project's image as the window did."""
    from napari_alibi_seg.core.project import PROJECT_SUFFIX

    if options.recipe.suffix.lower() == PROJECT_SUFFIX:
        return _apply_project(options)
    if not options.images or options.output is None:
        options.misuse("a classifier needs images and --output")
    if options.output.suffix.lower() == ".zarr":
        return _apply_to_volume(options)
    if options.cluster:
        options.misuse("--cluster is for a volume: one image and an --output that ends in .zarr")
    return _apply_classifier(options)


def _apply_project(options: argparse.Namespace) -> int:
    import numpy as np

    from napari_alibi_seg.core.project import open_image
    from napari_alibi_seg.core.project_files import load_project
    from napari_alibi_seg.core.results import stack_writer
    from napari_alibi_seg.core.segmentation import Segmenter

    path = options.recipe
    if options.images:
        options.misuse("a project names its own image; save its classifier for others")
    project = load_project(path)
    image = open_image(project, path)
    target = (options.output or path.parent) / f"{path.stem}{_LABELS}"
    _require_free([path, *filter(None, [image.path])], [target])
    config = replace(project.config, model=options.model or project.config.model)
    values = project.strokes.values
    with _Bars() as bars, stack_writer(target, image, np.dtype(values.dtype)) as write:
        segmenter = Segmenter(config, options.device, progress=bars)
        for index, labels in project.segment(segmenter, image):
            write(index, labels)
    print(f"segmentation: {target}")
    return 0


def _apply_to_volume(options: argparse.Namespace) -> int:
    from napari_alibi_seg.core.volumes import Source, segment_volume

    if len(options.images) > 1:
        options.misuse("an --output that ends in .zarr takes one image; for several, name a folder")
    # Workers of a cluster have other working folders.
    path, classifier, output = (
        Path(name).resolve() for name in (options.images[0], options.recipe, options.output)
    )
    if output in (path, classifier):
        raise OutputError(f"{output} would be written over an input; choose another name.")
    source = Source(path, options.axes, options.dataset, options.channels)
    with _Bars() as bars:
        made, planes = segment_volume(
            source,
            classifier,
            output,
            model=options.model,
            device=options.device,
            cluster=options.cluster,
            progress=bars,
        )
    print(f"segmentation: {output} ({made} of {planes} planes made now)")
    return 0


def _apply_classifier(options: argparse.Namespace) -> int:
    """Go on after a bad image, and report it."""
    from napari_alibi_seg.core.classifier_files import load_classifier
    from napari_alibi_seg.core.segmentation import Segmenter

    classifier = load_classifier(options.recipe)
    targets = _targets(options.images, options.output)
    _require_free([options.recipe, *targets], list(targets.values()))
    failed = 0
    with _Bars() as bars:
        segmenter = Segmenter.of(classifier, options.model, device=options.device, progress=bars)
        segmenter.load()
        for path, target in targets.items():
            try:
                _write(segmenter, classifier, _read(path, options), target, None)
            except (AlibiSegError, MemoryError) as error:
                failed += 1
                _say(f"{path} failed: {error or 'out of memory'}")
    if failed:
        _say(f"{failed} of {len(targets)} images failed.")
    return 1 if failed else 0


def features(options: argparse.Namespace) -> int:
    """Write the patch features of an image."""
    from napari_alibi_seg.core.feature_files import write_features
    from napari_alibi_seg.core.features import FeatureExtractor

    _require_free([options.image], [options.output])
    image = _read(options.image, options)
    with _Bars() as bars:
        extractor = FeatureExtractor.load(options.model, options.device)
        write_features(options.output, image, extractor, _SCALES[options.scale], bars)
    print(f"features: {options.output}")
    return 0


def models(options: argparse.Namespace) -> int:
    """List the models a name stands for."""
    from napari_alibi_seg.core.fetch import cache_folder
    from napari_alibi_seg.core.models import MODELS

    for name, entry in MODELS.items():
        print(f"{name:30} {entry.where:14} {entry.licence:22} {entry.description}")
    print(f"{'timm:<id>[:<file>]':30} {'':14} {'':22} a stock timm model, with its own positions")
    print(f"{'<path>':30} {'':14} {'':22} a checkpoint of napari_alibi_seg.finetune")
    print(f"Fetched weights and features of large images are kept in {cache_folder()}.")
    return 0


def demo(options: argparse.Namespace) -> int:
    """Segment the bundled micrograph from the scribbles a person drew on it."""
    from napari_alibi_seg.core.images import read_image
    from napari_alibi_seg.core.overlay import fractions, overlay_picture
    from napari_alibi_seg.core.results import read_scribbles, stack_writer
    from napari_alibi_seg.core.segmentation import Segmenter, planes_of
    from napari_alibi_seg.core.writing import replacing

    with as_file(files("napari_alibi_seg") / "samples") as samples:
        image = read_image(samples / "superalloy.png")
        scribbles = read_scribbles(samples / "superalloy_scribbles.png", image)
    with _Bars() as bars:
        segmenter = Segmenter(device=options.device, progress=bars)
        classifier = segmenter.fit(image, scribbles, _demo_classes())
        [(index, result)] = segmenter.apply(classifier, image)
    labels, picture = options.output / "segmentation.tif", options.output / "overlay.png"
    with stack_writer(labels, image, result.labels.dtype) as write:
        write(index, result.labels)
    with replacing(picture) as aside:
        overlay_picture(planes_of(image)[index], scribbles, result).save(aside)
    print(f"segmentation: {labels}\noverlay:      {picture}  <- look at this one")
    for info, share in fractions(result).items():
        print(f"{info.name:>17}: {100 * share:4.1f} % of the area")
    if options.show:
        from napari_alibi_seg.gui.show import show

        show(image.data, scribbles, result)
    return 0


def _demo_classes() -> list[ClassInfo]:
    from napari_alibi_seg.core.classifier import ClassInfo

    return [
        ClassInfo(1, "matrix", (230, 159, 0)),
        ClassInfo(2, "large gamma prime", (0, 114, 178)),
        ClassInfo(3, "small gamma prime", (204, 60, 110)),
    ]


def _write(
    segmenter: Segmenter,
    classifier: PixelClassifier,
    image: Micrograph,
    labels: Path,
    probabilities: Path | None,
) -> None:
    import numpy as np

    from napari_alibi_seg.core.results import stack_writer

    kinds = len(classifier.classes)
    with ExitStack() as stack:
        write_labels = stack.enter_context(
            stack_writer(labels, image, classifier.label_values.dtype)
        )
        write_votes = None
        if probabilities is not None:
            writer = stack_writer(probabilities, image, np.dtype(np.float32), channels=kinds)
            write_votes = stack.enter_context(writer)
        for index, result in segmenter.apply(classifier, image, write_votes is not None):
            write_labels(index, result.labels)
            if write_votes is not None and result.probabilities is not None:
                write_votes(index, result.probabilities)
    print(f"segmentation: {labels}")
    if probabilities is not None:
        print(f"probabilities: {probabilities}")


def _read(path: Path, options: argparse.Namespace) -> Micrograph:
    from napari_alibi_seg.core.images import read_image

    return read_image(path, axes=options.axes, dataset=options.dataset, channels=options.channels)


def _targets(images: Sequence[str], folder: Path) -> dict[Path, Path]:
    """Return the output file of every image that names, folders and patterns stand for."""
    found = dict.fromkeys(path for name in images for path in _images_of(name))
    for part in ("stem", "name"):
        targets = {path: folder / f"{getattr(path, part)}{_LABELS}" for path in found}
        if len({target.name.casefold() for target in targets.values()}) == len(targets):
            return targets
    raise OutputError(
        "Two images have the same name and would be written to one file; "
        "apply to one folder at a time."
    )


def _images_of(name: str) -> list[Path]:
    """Return the images that a name, folder or pattern stands for; earlier results are none."""
    from napari_alibi_seg.core.images import IMAGE_SUFFIXES
    from napari_alibi_seg.core.stored import is_zarr

    path = Path(name)
    if path.is_file() or is_zarr(path) or not (path.exists() or glob.has_magic(name)):
        return [path]  # a missing file is reported when its turn comes
    inside = path.iterdir() if path.is_dir() else map(Path, glob.glob(name, recursive=True))
    images = [
        path
        for path in sorted(inside)
        if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.endswith(_LABELS)
    ]
    if not images:
        raise ImageError(
            f"There is no image in {name}; name files, folders or patterns "
            f"of {', '.join(IMAGE_SUFFIXES)}."
        )
    return images


def _require_free(inputs: Sequence[Path], outputs: Sequence[Path]) -> None:
    """Refuse, before any work, outputs that would replace an input or each other."""
    from napari_alibi_seg.core.writing import require_writable

    taken = {path.resolve() for path in inputs}
    for path in outputs:
        if path.resolve() in taken:
            raise OutputError(
                f"{path} would be written twice or over an input; choose another name."
            )
        taken.add(path.resolve())
        require_writable(path)


class _Bars:
    """Progress bars, one per stage, that appear once a stage has taken two seconds."""

    def __init__(self) -> None:
        self._stage = ""
        self._bar: Any = None

    def __enter__(self) -> _Bars:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def __call__(self, stage: str, done: int, total: int) -> None:
        from tqdm import tqdm

        if self._bar is None or stage != self._stage or done <= self._bar.n:
            self._close()
            self._stage, self._bar = stage, tqdm(total=total, desc=stage, delay=2, leave=False)
        self._bar.update(done - self._bar.n)

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
        self._bar = None


def _channels(text: str) -> tuple[int, ...]:
    if not all(part.isdecimal() for part in text.split(",")):
        raise argparse.ArgumentTypeError(f"{text!r} is not like 0 or 0,1,2")
    return tuple(int(part) for part in text.split(","))


def _seed(text: str) -> int:
    if not text.isdecimal() or int(text) > _LARGEST_SEED:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a whole number from 0 to {_LARGEST_SEED}"
        )
    return int(text)


def _say(message: str) -> None:
    print(f"napari-alibi-seg: {message}", file=sys.stderr)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("napari-alibi-seg", description=_ABOUT, epilog=_EXIT_CODES)
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    one = _command(commands, "segment", segment)
    one.add_argument("image", type=Path, metavar="IMAGE")
    one.add_argument(
        "--scribbles", type=Path, required=True, metavar="FILE", help="0 = not painted"
    )
    one.add_argument(
        "--output", type=Path, required=True, metavar="OUT.tif", help="labels, as painted"
    )
    one.add_argument(
        "--probabilities", type=Path, metavar="P.tif", help="one float32 channel per class"
    )
    one.add_argument("--save-classifier", type=Path, metavar="C.skops", help="for `apply`")
    one.add_argument("--seed", type=_seed, default=0, metavar="N", help="of the forest (default 0)")
    one.add_argument(
        "--forest",
        choices=_FORESTS,
        default=_FORESTS[0],
        help="extremely randomised trees, or a random forest (default %(default)s)",
    )
    one.add_argument("--scribbles-axes", metavar="A", help="names of the scribbles' axes")
    one.add_argument("--scribbles-dataset", metavar="PATH", help="of scribbles in an HDF5 file")
    _add_image_options(one)
    _add_model_options(one)

    many = _command(commands, "apply", apply)
    many.set_defaults(misuse=many.error)
    many.add_argument(
        "recipe", type=Path, metavar="C.skops|PROJECT", help="a classifier, or a project file"
    )
    many.add_argument("images", nargs="*", metavar="IMAGE", help="files, folders and patterns")
    many.add_argument(
        "--output",
        type=Path,
        metavar="DIR|OUT.ome.zarr",
        help="of a project, its own folder if left out; a .zarr is made of one volume, plane by "
        "plane, and finished by the same command if that was interrupted",
    )
    many.add_argument(
        "--cluster", metavar="tcp://HOST:PORT", help="make a volume on this dask cluster"
    )
    many.add_argument(
        "--model", metavar="M", help="where the classifier's backbone lies, if it moved"
    )
    many.add_argument("--device", default="auto", metavar="D", help=_DEVICE_HELP)
    _add_image_options(many)

    deep = _command(commands, "features", features)
    deep.add_argument("image", type=Path, metavar="IMAGE")
    deep.add_argument("--output", type=Path, required=True, metavar="F.zarr")
    _add_image_options(deep)
    _add_model_options(deep)

    _command(commands, "models", models)

    show = _command(commands, "demo", demo)
    show.add_argument("--output", type=Path, default=Path("demo"), metavar="DIR")
    show.add_argument("--device", default="auto", metavar="D", help=_DEVICE_HELP)
    show.add_argument("--show", action="store_true", help="open the result in napari")
    return parser


def _command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    run: Callable[[argparse.Namespace], int],
) -> argparse.ArgumentParser:
    command = commands.add_parser(name, help=run.__doc__, description=run.__doc__)
    command.add_argument("--verbose", action="store_true", help="show the traceback of an error")
    command.set_defaults(run=run)
    return command


def _add_image_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("--axes", metavar="A", help="names of the image's axes, e.g. ZYX or YXS")
    command.add_argument("--dataset", metavar="PATH", help="of an HDF5 file")
    command.add_argument(
        "--channels",
        type=_channels,
        metavar="I[,J,K]",
        help="channel to use as grey, or three as red, green and blue; counted from 0",
    )


def _add_model_options(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--model",
        default="alibi-dinov2-s14",
        metavar="M",
        help="from `models`, a path, or `classical` for no deep features (default %(default)s)",
    )
    command.add_argument(
        "--scale",
        choices=_SCALES,
        default="auto",
        help="magnification before the backbone; auto is 2 up to a megapixel, else 1",
    )
    command.add_argument("--device", default="auto", metavar="D", help=_DEVICE_HELP)

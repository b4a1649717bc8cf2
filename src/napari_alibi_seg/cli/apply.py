"""The command ``apply``: apply a classifier to images, or a project to its own image."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from napari_alibi_seg.cli.files import (
    REPLACE,
    UNRECOGNISED,
    image_file,
    require_new,
    tell_fractions,
)
from napari_alibi_seg.cli.options import (
    add_cluster_option,
    add_command,
    add_device_option,
    add_image_options,
    add_pixel_size_option,
    add_region_option,
    add_spacing_option,
    reading_words,
)
from napari_alibi_seg.core.errors import ModelError
from napari_alibi_seg.core.naming import (
    FILE_SUFFIXES,
    FRACTIONS,
    LABELS,
    MEANS,
    TABLE,
    beside,
    listed,
)
from napari_alibi_seg.core.terminal import PLANES_KEPT, Bars, kept_if_interrupted, say, tell

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from napari_alibi_seg.cli.options import Commands
    from napari_alibi_seg.core.forest.classifier import PixelClassifier
    from napari_alibi_seg.core.images.micrograph import Micrograph
    from napari_alibi_seg.core.runs.project import Project
    from napari_alibi_seg.core.segmentation import Segmenter

_NAMED = 20
_OF_FILES = (*FILE_SUFFIXES, ".csv", ".skops")


def add_to(commands: Commands) -> None:
    """Add the command and its options."""
    command = add_command(commands, "apply", apply)
    command.add_argument(
        "recipe", type=Path, metavar="C.skops|PROJECT", help="a classifier file, or a project file"
    )
    command.add_argument(
        "images", nargs="*", metavar="IMAGE", help="image files, folders or patterns"
    )
    command.add_argument(
        "--output",
        type=Path,
        metavar="DIR|OUT.ome.zarr",
        help="output folder (default for a project: the folder it is in), or a .zarr for one "
        "volume, written plane by plane; repeat the command to finish an interrupted run",
    )
    command.add_argument(
        "--replace",
        action="store_true",
        help="overwrite existing labels and, for a project, its table of fractions",
    )
    command.add_argument(
        "--skip-existing",
        action="store_true",
        help="skip images whose labels and fractions by this classifier, read with the same "
        "options, exist already, e.g. after an interruption",
    )
    add_cluster_option(command, "segment a volume on the dask cluster with this scheduler")
    command.add_argument(
        "--model",
        metavar="M",
        help="new location of the classifier's or project's model, if it has moved",
    )
    add_device_option(command)
    add_image_options(command)
    add_pixel_size_option(command)
    add_region_option(command)
    add_spacing_option(command)


def apply(options: argparse.Namespace) -> int:
    """Segment images with a saved classifier, or a project's image as in the napari window."""
    from napari_alibi_seg.core.runs.project import PROJECT_SUFFIX

    output = options.output
    files = (*_OF_FILES, PROJECT_SUFFIX)
    if output and output.suffix.lower() in files and not os.path.exists(output):
        options.misuse(
            f"--output is a folder, for labels and tables, but {output.name} looks like a file; "
            "name a folder, or an .ome.zarr for one volume"
        )
    zarr = bool(output) and output.suffix.lower() == ".zarr"
    if options.recipe.suffix.lower() == PROJECT_SUFFIX:
        _require_options_of_projects(options, zarr)
        return _apply_project(options)
    if not options.images or output is None:
        options.misuse(
            "a classifier needs images and --output; the name of a project ends in "
            f"{PROJECT_SUFFIX}"
        )
    if zarr:
        _require_options_of_volumes(options)
        return _apply_to_volume(options)
    if options.cluster:
        options.misuse("--cluster is for one image and an --output that ends in .zarr")
    return _apply_to_images(options)


def _require_options_of_projects(options: argparse.Namespace, zarr: bool) -> None:
    if options.images:
        options.misuse("a project names its own image; save its classifier for others")
    reading = (options.axes, options.dataset, options.channels, options.pixel_size)
    if any((*reading, options.region, options.spacing, options.cluster)):
        options.misuse("a project knows how its image is read, and is segmented here")
    if zarr:
        options.misuse("the labels of a project are written as TIFF; name a folder as --output")
    if options.skip_existing:
        options.misuse("--skip-existing is for images; a project has one")


def _require_options_of_volumes(options: argparse.Namespace) -> None:
    if options.replace or options.skip_existing:
        options.misuse(
            "--replace and --skip-existing are not for a .zarr, which the same command finishes; "
            "delete it to begin anew"
        )
    if len(options.images) > 1:
        options.misuse("an --output that ends in .zarr takes one image; for several, name a folder")


def _apply_to_images(options: argparse.Namespace) -> int:
    """Write the labels of every image and one table of fractions; return 1 if any image failed."""
    from napari_alibi_seg.core.forest.classifier_files import load_classifier
    from napari_alibi_seg.core.runs.batch import label_targets, segment_images
    from napari_alibi_seg.core.segmentation import Segmenter

    classifier = load_classifier(options.recipe)
    targets = label_targets(options.images, options.output, [options.recipe])
    advice = f"{REPLACE}, or --skip-existing to leave out finished images"
    if options.skip_existing:
        advice = "the table lacks its fractions, so move it away to have it made anew"
        targets = _unfinished(options, classifier, targets)
    require_new([*targets.values()], options.replace, advice)
    kept = "finished images were kept"
    if options.replace:
        kept += ", and others have their earlier results until the command is repeated"
    else:
        kept += "; go on by the same command with --skip-existing"
    failed: list[Path] = []

    def reading(path: Path) -> Micrograph:
        return image_file(path, options).read()

    with kept_if_interrupted(kept), Bars() as bars:
        segmenter = Segmenter.of(classifier, options.model, device=options.device, progress=bars)
        segmenter.load(classifier)
        how = reading_words(options)
        for outcome in segment_images(segmenter, classifier, targets, reading, how):
            if outcome.failure:
                failed.append(outcome.image)
                say(f"{outcome.image} failed: {outcome.failure}")
            else:
                tell(f"segmentation: {outcome.labels}")
                if outcome.doubt:
                    say(f"{outcome.image}: {outcome.doubt}")
    if len(failed) < len(targets):
        _tell_fractions(options.output, {path.name for path in targets if path not in failed})
        if classifier.recognised is False:
            say(
                f"the fractions have no intervals, because {UNRECOGNISED}, or too few to leave "
                "some out; paint more of each class, and train again."
            )
    if failed:
        say(f"{len(failed)} of {len(targets)} images failed: {listed(failed, _NAMED)}.")
    return 1 if failed else 0


def _unfinished(
    options: argparse.Namespace, classifier: PixelClassifier, targets: Mapping[Path, Path]
) -> dict[Path, Path]:
    """Leave out images that this command has segmented; other results need `--replace`."""
    from napari_alibi_seg.core.runs.batch import finished

    made, reading = finished(targets, options.output), reading_words(options)
    others = {image: how for image, how in made.items() if how != (classifier.fingerprint, reading)}
    reason = "another classifier made"
    if {maker for maker, _ in others.values()} == {classifier.fingerprint}:
        readings = {before or "no options" for _, before in others.values()}
        now = reading or "no options"
        reason = f"the images were read with {' or '.join(sorted(readings))}, not {now}, for"
    advice = f"{reason} what is there, so add --replace to have it made anew"
    require_new([targets[image] for image in others], options.replace, advice)
    done = made.keys() - others
    tell(f"{len(done)} of {len(targets)} images were done before, going by their names")
    if others:
        tell(f"segmented again, as {reason} their results: {listed([*others])}")
    return {image: labels for image, labels in targets.items() if image not in done}


def _tell_fractions(folder: Path, made: set[str]) -> None:
    from napari_alibi_seg.core.judging.fractions import (
        least_certain,
        name_in_table,
        read_fractions,
    )
    from napari_alibi_seg.core.judging.mean_fractions import mean_fractions

    rows = read_fractions(folder / TABLE)
    tell(f"fractions: {folder / TABLE}")
    names = {name_in_table(name) for name in made}
    least = least_certain(row for row in rows if row[0] in names)
    if least and len(names) > 1:
        name, accuracy = least
        right = f"about {100 * accuracy:.0f} % of its pixels right"
        tell(f"least certain: {name} ({right if accuracy else 'it looks unlike those painted'})")
    means = mean_fractions(rows)
    if means:
        tell(f"their means, with 95 % confidence: {folder / MEANS}")
    for mean in means:
        interval = f"{100 * mean.mean:.2f} ± {100 * mean.margin:.2f} %"
        tell(f"  {mean.name}: {interval} ({mean.images} images)")


def _apply_to_volume(options: argparse.Namespace) -> int:
    """Write the planes that are still missing from an OME-Zarr of labels, then its fractions."""
    from napari_alibi_seg.core.forest.classifier_files import load_classifier
    from napari_alibi_seg.core.judging.fractions import read_fractions, write_fractions
    from napari_alibi_seg.core.runs.volumes import segment_volume, volume_fractions
    from napari_alibi_seg.core.writing import require_free

    image = image_file(Path(options.images[0]).resolve(), options)
    classifier = options.recipe.resolve()
    table = beside(options.output, options.output.name, FRACTIONS)
    require_free([image.path, classifier], [options.output, table])
    read_fractions(table)  # a file that is none would be refused after the run
    output = options.output.resolve()
    known, volume = load_classifier(classifier), image.read()
    doubt = known.doubt(volume.voxel_size)
    if doubt:
        say(f"{image.path}: {doubt}")
    with kept_if_interrupted(PLANES_KEPT), Bars() as bars:
        made, planes = segment_volume(
            image,
            classifier,
            output,
            model=options.model,
            device=options.device,
            cluster=options.cluster,
            progress=bars,
        )
        rows = volume_fractions(image.path.name, volume, known, output)
        write_fractions(table, rows)
    tell(f"segmentation: {output} ({made} of {planes} planes made now)\nfractions: {table}")
    tell_fractions(rows)
    return 0


def _apply_project(options: argparse.Namespace) -> int:
    """Retrain on a project's strokes and write the labels and fractions of its image."""
    from napari_alibi_seg.core.judging.fractions import write_fractions
    from napari_alibi_seg.core.judging.judge import assess
    from napari_alibi_seg.core.runs.batch import unlike_words, write_segmentation
    from napari_alibi_seg.core.runs.project import open_image
    from napari_alibi_seg.core.runs.project_files import load_project
    from napari_alibi_seg.core.segmentation import Segmenter
    from napari_alibi_seg.core.writing import require_free

    path = options.recipe
    project = load_project(path)
    config = project.config_with(options.model)
    image = open_image(project, path)
    name = path.name if image.path is None else image.path.name
    folder = options.output or path.parent
    target, table = (folder / f"{path.stem}{ending}" for ending in (LABELS, FRACTIONS))
    require_free([path, *filter(None, [image.path])], [target, table])
    require_new([target, table], options.replace)
    with Bars() as bars:
        segmenter = Segmenter(config, options.device, progress=bars)
        classifier = _fitted(project, segmenter, image, options.model)
        assessments = assess(
            segmenter, classifier, image, project.scribbles.array(), project.ignored
        )
        planes = project.segment(segmenter, classifier, image)
        dtype = project.scribbles.values.dtype
        rows = write_segmentation(target, image, dtype, name, classifier, planes, assessments)
    write_fractions(table, rows)
    tell(f"segmentation: {target}\nfractions: {table}")
    if unlike := unlike_words(rows):
        say(unlike)
    return 0


def _fitted(
    project: Project, segmenter: Segmenter, image: Micrograph, model: str | None
) -> PixelClassifier:
    try:
        return project.fit(segmenter, image)
    except ModelError as error:
        if model is not None:
            raise
        raise ModelError(
            f"{error} The project was painted with this model; if it lies elsewhere now, say where "
            "with --model."
        ) from error

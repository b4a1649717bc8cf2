"""Measure all figures with speed targets for a 1024 x 1024 image, side by side in one run.

    OMP_NUM_THREADS=2 python benchmarks/speed.py --output speed.csv [--repeats 5] [--parts strokes]

Uses two threads on two cores. Alternatives are timed in alternation, so that other load slows all
of them; figures are medians over the repeats. Core-seconds are the CPU time of the process, which
depends little on other load. The time to a result includes training and smoothing, that of
scikit-learn does not. The image is the bundled micrograph, mirrored; each stroke covers the longest
stretch of a class along a row of the previous result. Linux only.
"""

from __future__ import annotations

import argparse
import csv
import os
import time
from dataclasses import astuple, dataclass, fields, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np
import timm
import torch

from methods import SHARED, convpaint
from micrographs import mirrored, scribbled
from napari_alibi_seg import FeatureExtractor, SegmentationConfig, Segmenter
from napari_alibi_seg.core.channels.pixel_channels import PixelChannels
from napari_alibi_seg.core.choices import DEFAULT_MODEL, SCALE
from napari_alibi_seg.core.features.tiling import TILE
from napari_alibi_seg.core.forest.smoothing import smoothed
from napari_alibi_seg.core.images.micrograph import as_micrograph, planes_of
from napari_alibi_seg.core.images.windows import Window
from napari_alibi_seg.core.live.engine import LiveEngine
from napari_alibi_seg.core.live.records import ClassifierReady, LiveRequest, PlaneDone, ResultBlock
from napari_alibi_seg.core.model.backbone import Backbone
from tilings import TILES, agreements

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from numpy.typing import NDArray

    from napari_alibi_seg.core.forest.classifier import PixelClassifier

SIDE = 1024
THREADS = 2
STROKE_ROWS = 3


@dataclass(frozen=True)
class Figure:
    """A measured figure and its target; `target` is empty if there is none."""

    figure: str
    measured: str
    target: str = ""


@dataclass(frozen=True, eq=False)
class Followed:
    """Results of a stroke: seconds until each stage, the classifier, and (Y, X) labels.

    `spent` is the CPU time for the full result, in core-seconds.
    """

    first: float
    coarse: float
    fitted: float
    full: float
    spent: float
    classifier: PixelClassifier
    labels: NDArray[np.unsignedinteger[Any]]


@dataclass(frozen=True)
class Exact:
    """Time scikit-learn took to classify every pixel, and the share of pixels that agree.

    `seconds` is by number of threads; `spent` is the mean CPU time of a run, in core-seconds.
    """

    seconds: Mapping[int, float]
    spent: float
    equal: float


def seconds(work: Callable[[], object]) -> float:
    """Return how long a call takes, in s."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def in_turns(repeats: int, **works: Callable[[], object]) -> dict[str, float]:
    """Return the median time (s) of several functions, called in turn after a warm-up round."""
    for work in works.values():
        work()
    rounds = [{name: seconds(work) for name, work in works.items()} for _ in range(repeats)]
    return {name: median(some[name] for some in rounds) for name in works}


def feature_figures(extractor: FeatureExtractor, repeats: int) -> Iterator[Figure]:
    """Compare feature extraction with the plain transformer on tiles without overlap."""
    plane = planes_of(as_micrograph(mirrored(SIDE)))[()]
    rows, columns = extractor.grid(plane.shape, SCALE)
    tiles = rows * columns / TILE**2
    bare, pixels = bare_transformer(extractor), tile_pixels(extractor)
    took = in_turns(
        repeats, ours=lambda: extractor.extract(plane, SCALE), bare=lambda: bare(pixels)
    )
    ratio = took["ours"] / (tiles * took["bare"])
    yield Figure("features / bare transformer", f"{ratio:.2f}", "<= 1.3")
    yield Figure("features (s)", f"{took['ours']:.2f}")
    yield Figure("tokens of the image, of the tiles", f"{rows * columns}, {computed(extractor)}")


def computed(extractor: FeatureExtractor) -> int:
    """Return the number of tokens processed by the transformer, including overlap."""
    return len(extractor.tiles((SIDE, SIDE), SCALE)) * TILE**2


def bare_transformer(extractor: FeatureExtractor) -> Callable[[torch.Tensor], object]:
    """Return timm's transformer, untrained, as its speed does not depend on the weights."""
    architecture = extractor.identity(1).backbone.architecture
    side = TILE * extractor.backbone.patch_size
    bare: Any = timm.create_model(architecture, pretrained=False, img_size=side, num_classes=0)
    forward: Callable[[torch.Tensor], object] = bare.eval().forward_features
    return torch.inference_mode()(forward)


def tile_pixels(extractor: FeatureExtractor) -> torch.Tensor:
    """Return the pixels of one tile."""
    side = TILE * extractor.backbone.patch_size
    return torch.from_numpy(mirrored(side)).float().div(255).expand(1, 3, -1, -1)


def attention_figures(extractor: FeatureExtractor, repeats: int) -> Iterator[Figure]:
    """Compare the time of all attention layers, for one tile, with the bias and without."""
    seen: list[tuple[Callable[..., object], torch.Tensor, Mapping[str, Any]]] = []

    def note(module: Any, inputs: tuple[torch.Tensor], named: Mapping[str, Any]) -> None:
        seen.append((module, inputs[0], named))

    assert isinstance(extractor.backbone, Backbone)
    layers = [block.attn for block in extractor.backbone.vit.blocks]
    hooks = [layer.register_forward_pre_hook(note, with_kwargs=True) for layer in layers]
    with torch.inference_mode():
        extractor.backbone(tile_pixels(extractor))
        for hook in hooks:
            hook.remove()
        took = in_turns(
            10 * repeats,
            biased=lambda: [layer(x, **named) for layer, x, named in seen],
            plain=lambda: [layer(x) for layer, x, _ in seen],
        )
    ratio = took["biased"] / took["plain"]
    yield Figure("attention with the bias / without", f"{ratio:.2f}", "<= 1.1")


def stroke_figures(extractor: FeatureExtractor, repeats: int) -> Iterator[Figure]:
    """Time live updates after strokes, and compare them with scikit-learn's forest."""
    image = as_micrograph(mirrored(SIDE))
    config = SegmentationConfig(extractor.identity(1).backbone.name)
    engine = LiveEngine("cpu")
    plain = LiveRequest(image, scribbled(SIDE), config, ((),), Window(0, 0, SIDE, SIDE))
    last = follow(engine, plain)
    channels = all_channels(extractor, plain, last.classifier)
    rounds = []
    for row in np.linspace(0, SIDE - STROKE_ROWS, repeats + 2).astype(int)[1:-1]:
        plain = replace(plain, scribbles=one_more(plain.scribbles, last.labels, row))
        last = follow(engine, plain)
        rounds.append((last, exact(last, *channels)))
    yield from _stroke_figures(rounds)


def _stroke_figures(rounds: list[tuple[Followed, Exact]]) -> Iterator[Figure]:
    live, exactly = zip(*rounds, strict=True)
    for name, target in (("first", "<= .15"), ("coarse", ""), ("fitted", ""), ("full", "")):
        waits = [getattr(followed, name) for followed in live]
        yield Figure(f"stroke to {NAMES[name]} (s)", f"{median(waits):.3f}", target)
    for threads, target in ((1, ""), (THREADS, ">= 8")):
        took = median(one.seconds[threads] for one in exactly)
        times = median(one.seconds[threads] / followed.full for followed, one in rounds)
        name = f"scikit-learn, {threads} thread{'s' * (threads > 1)}"
        yield Figure(f"{name} (s)", f"{took:.2f}")
        yield Figure(f"{name} / stroke to full result", f"{times:.1f}", target)
    spent = median(one.spent for one in exactly), median(followed.spent for followed in live)
    yield Figure("core-seconds, scikit-learn and stroke", f"{spent[0]:.2f}, {spent[1]:.2f}")
    yield Figure(
        "pixels equal to scikit-learn's", f"{min(one.equal for one in exactly):.2%}", ">= 99.5 %"
    )


NAMES = {
    "first": "the first coarse block",
    "coarse": "the whole coarse result",
    "fitted": "the fitted forest",
    "full": "the full result",
}


def follow(engine: LiveEngine, request: LiveRequest) -> Followed:
    """Run a live request to its end, and record when each stage was reached."""
    started, idle = time.perf_counter(), time.process_time()
    seen: dict[str, float] = {}
    labels = np.zeros(request.scribbles.shape, np.uint8)
    for event in engine.update(request):
        now = time.perf_counter() - started
        match event:
            case ResultBlock(final=False):
                seen.setdefault("first", now)
                seen["coarse"] = now
            case ResultBlock():
                labels[event.window.slices] = event.result.labels
            case ClassifierReady():
                seen["fitted"], classifier = now, event.classifier
            case PlaneDone():
                seen["full"], seen["spent"] = now, time.process_time() - idle
    return Followed(**seen, classifier=classifier, labels=labels)


def all_channels(
    extractor: FeatureExtractor, request: LiveRequest, classifier: PixelClassifier
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the (N, F) channels of every pixel, and the (Y, X) grey values."""
    plane = planes_of(request.image)[()]
    features = extractor.extract(plane, SCALE)
    channels = PixelChannels(plane, classifier.channels, features, classifier.projection)
    values = channels.block(request.visible)
    return values.reshape(-1, values.shape[-1]), channels.guide(request.visible)


def one_more(
    painted: NDArray[np.integer[Any]], labels: NDArray[np.integer[Any]], row: int
) -> NDArray[np.integer[Any]]:
    """Add a stroke along the longest stretch of one class in a row of labels."""
    stretches = np.split(np.arange(SIDE), np.flatnonzero(np.diff(labels[row])) + 1)
    longest = max(stretches, key=len)
    more = painted.copy()
    more[row : row + STROKE_ROWS, longest] = labels[row, longest[0]]
    return more


def exact(followed: Followed, values: NDArray[np.float32], guide: NDArray[np.float32]) -> Exact:
    """Classify every pixel with scikit-learn's own prediction, and compare the labels."""
    forest = followed.classifier.forest
    took, idle = {}, time.process_time()
    for threads in (1, THREADS):
        forest.set_params(n_jobs=threads)
        took[threads] = seconds(partial(forest.predict, values))
    spent = (time.process_time() - idle) / len(took)
    shares = forest.predict_proba(values).reshape(*guide.shape, -1)
    winner = smoothed(shares, guide, followed.classifier.smoothing).argmax(axis=-1)
    expected = forest.classes_[winner]
    forest.set_params(n_jobs=None)
    return Exact(took, spent, float(np.mean(expected == followed.labels)))


def seam_figures(extractor: FeatureExtractor, data: Path) -> Iterator[Figure]:
    """Measure how many pixels change their class with the tiling."""
    found = list(agreements(extractor.identity(1).backbone.name, data, TILES))
    for tile in TILES:
        changed = [one.changed for one in found if one.tile == tile]
        name = f"pixels of another class, tiles of {tile} tokens: mean of {len(changed)} images"
        yield Figure(name, f"{np.mean(changed):.2%}", "<= .1 %")
        yield Figure(f"worst image, tiles of {tile} tokens", f"{max(changed):.2%}", "<= .1 %")


def rival_figures(model: str, repeats: int) -> Iterator[Figure]:
    """Compare with convpaint, if installed, end to end from image and scribbles to labels."""
    if not find_spec("napari_convpaint"):
        return
    image, scribbles = as_micrograph(mirrored(SIDE)), scribbled(SIDE)

    def ours(scale: int) -> None:
        segmenter = Segmenter(SegmentationConfig(model, scale))
        next(segmenter.apply(segmenter.fit(image, scribbles), image))

    took = in_turns(
        repeats,
        default=partial(ours, SCALE),
        finer=partial(ours, 2 * SCALE),
        convpaint=lambda: convpaint("dinov2", [image], [scribbles], 0)(image),
    )
    yield Figure("convpaint with DINOv2, end to end (s)", f"{took['convpaint']:.1f}")
    for name, what in (("default", "default"), ("finer", "at scale 2")):
        ratio = took["convpaint"] / took[name]
        yield Figure(f"convpaint / {what} ({took[name]:.1f} s)", f"{ratio:.1f}", ">= 3")


def figures(options: argparse.Namespace) -> Iterator[Figure]:
    """Yield the figures of all requested parts."""
    yield Figure("load of the machine before (1 min)", f"{os.getloadavg()[0]:.2f}")
    extractor = FeatureExtractor.load(options.model, "cpu")
    parts = {
        "features": lambda: feature_figures(extractor, options.repeats),
        "attention": lambda: attention_figures(extractor, options.repeats),
        "strokes": lambda: stroke_figures(extractor, options.repeats),
        "seams": lambda: seam_figures(extractor, options.data),
        "convpaint": lambda: rival_figures(options.model, options.repeats),
    }
    for name in options.parts:
        yield from parts[name]()
    yield Figure("load of the machine after (1 min)", f"{os.getloadavg()[0]:.2f}")


PARTS = ("features", "attention", "strokes", "seams", "convpaint")


def main() -> None:
    """Print the figures as a Markdown table as they are measured, and write them as CSV."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("speed.csv"))
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument(
        "--data", type=Path, default=SHARED / "data", help="data sets for the part seams"
    )
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    options = parser.parse_args()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:THREADS])
    torch.set_num_threads(THREADS)
    print("| figure | measured | target |\n|---|---|---|")
    with options.output.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(field.name for field in fields(Figure))
        for found in figures(options):
            table.writerow(astuple(found))
            print(f"| {found.figure} | {found.measured} | {found.target} |", flush=True)


if __name__ == "__main__":
    main()

"""Bring back earlier strokes, of this session or another."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Image, Labels
from qtpy.QtCore import QObject, Signal

from napari_alibi_seg.core.errors import AlibiSegError
from napari_alibi_seg.gui.ownership import is_taken_over, owner_of
from napari_alibi_seg.gui.painting import is_blank
from napari_alibi_seg.gui.projects import layers_of, misfit, recipe_of
from napari_alibi_seg.gui.records import PaintClass, SessionProblem
from napari_alibi_seg.gui.sessions import set_aside
from napari_alibi_seg.gui.words import counted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from napari.viewer import Viewer

    from napari_alibi_seg.core.forest.classifier import PixelClassifier
    from napari_alibi_seg.core.runs.project import Project
    from napari_alibi_seg.gui.choosing import Chooser
    from napari_alibi_seg.gui.dock import Panels
    from napari_alibi_seg.gui.projects import OpenedProject
    from napari_alibi_seg.gui.records import Recipe, SessionFound
    from napari_alibi_seg.gui.source import ImageSource
    from napari_alibi_seg.gui.workspace import Workspace
    from napari_alibi_seg.gui.workspaces import Workspaces

_NOT_STROKES = (
    "The loaded classifier is used now, not your strokes; paint on to use them again, with your "
    "own classes."
)
_OTHER_IMAGE = (
    "Another image was chosen while the file was being read; choose the image it is for and open "
    "it again."
)


class Restorer(QObject):
    """Show the contents of session and project files, never overwriting strokes.

    Parameters
    ----------
    viewer : Viewer
        The viewer.
    panels : Panels
        Show classes and settings from a file, and questions about it.
    workspaces : Workspaces
        Tell which image is open, and show classes on its layers.
    chooser : Chooser
        Turns to the image of a project.
    parent : QObject
        Owner.
    """

    settings_read = Signal()
    """The panels show the settings of a file."""
    classifier_read = Signal(object)
    """A classifier from a file is to be applied; the panels show its settings."""

    def __init__(
        self,
        viewer: Viewer,
        panels: Panels,
        workspaces: Workspaces,
        chooser: Chooser,
        parent: QObject,
    ) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._panels = panels
        self._strip = panels.strip
        self._workspaces = workspaces
        self._chooser = chooser

    def offer_session(self, work: Workspace, found: SessionFound | SessionProblem) -> None:
        """Offer an earlier session of an image, and report a problem with it, once each."""
        if isinstance(found, SessionProblem):
            if not work.problem_told:
                self._strip.say(found.words, warn=True)
            work.problem_told = True
            return
        if work.offered:
            return
        work.offered = True
        painted = counted(len(found.project.scribbles.values), "pixel")
        self._strip.say(
            f"You painted {painted} on this image before ({found.saved}).",
            ("Bring them back", partial(self.restore, work, found)),
            ("Leave them", partial(self._decline, work, found)),
        )

    def restore(self, work: Workspace, found: SessionFound) -> None:
        """Paint the strokes of a session file on its image."""
        scribbles = found.project.scribbles
        if work is not self._workspaces.current:
            return
        if not _fits(scribbles.shape, work.source):
            self._strip.say(misfit(scribbles.shape, work.source.micrograph), warn=True)
            return
        try:
            recipe = recipe_of(found.project)
        except AlibiSegError as error:
            self._strip.say(str(error), warn=True)
            return
        work.second_offered = True
        if not work.touched:
            work.owner = found.project.owner
        self._measure(work, found.project)
        self._adopt(work, recipe)
        work.scribbles.restore(scribbles)

    def _decline(self, work: Workspace, found: SessionFound) -> None:
        if work.touched:
            return  # the first stroke has set it aside
        try:
            set_aside(found.path)
        except OSError as error:
            self._strip.say(f"The earlier session could not be renamed ({error}).", warn=True)

    def offer_lost(self, lost: Labels) -> None:
        """Offer to bring back a removed scribbles layer."""
        work, layers = self._workspaces.current, self._viewer.layers
        assert work is not None
        instead = work.scribbles.layer
        self._strip.say(
            f"The layer {lost.name!r} was removed; paint on the new one added for it.",
            ("Bring it back", partial(self._bring_back, work, lost)),
            holds=lambda: work.scribbles.layer is instead and lost not in layers,
        )

    def use_classifier(self, asked: Workspace | None, classifier: PixelClassifier) -> None:
        """Apply a classifier from a file, with its settings, until something is painted.

        Parameters
        ----------
        asked : Workspace or None
            The image that was open when the classifier was asked for.
        classifier : PixelClassifier
            The classifier.
        """
        work, panels = self._workspaces.current, self._panels
        if work is None or work is not asked:
            self._strip.say(_OTHER_IMAGE, warn=True)
            return
        misfit = classifier.misfit(work.source.micrograph.bands)
        if misfit:
            self._strip.say(
                f"{misfit}; choose such an image or other channels (right-click a layer: Split "
                "RGB, Merge to RGB), or paint strokes of two classes to train a new one.",
                warn=True,
                holds=partial(_is_unchanged, work, work.loaded, _painted(work)),
            )
            return
        config = replace(
            panels.settings.config,
            model=classifier.model,
            scale=classifier.scale,
            channels=classifier.channels,
            smoothing=classifier.smoothing,
        )
        panels.show_config(config)
        self.use(work, classifier)

    def use(self, work: Workspace, classifier: PixelClassifier) -> None:
        """Apply a classifier to the open image, and show its classes until something is painted."""
        self._workspaces.show_own_classes()  # not those of an earlier classifier
        panel, painted = self._panels.classes, work.touched or bool(_painted(work))
        before, spared = panel.classes, self._spare_ignored(work, classifier)
        panel.show_classes(_joined(classifier, spared))
        panel.settle()
        if painted:
            known = {info.value: info for info in spared}
            work.own = {info.value: known.get(info.value) for info in classifier.classes}
        self.classifier_read.emit(classifier)
        self._workspaces.show_classes()
        said = [_renumbered(*pair) for pair in zip(before, spared, strict=True) if len({*pair}) > 1]
        doubt = classifier.doubt(work.source.measured.voxel_size)
        if doubt:
            said.append(doubt)
        elif painted:
            said.append(_NOT_STROKES)
        if said:
            self._strip.say(
                " ".join(said), warn=bool(doubt), holds=lambda: work.loaded is classifier
            )

    def _spare_ignored(self, work: Workspace, classifier: PixelClassifier) -> list[PaintClass]:
        """Return the classes, ignored ones with free numbers where the classifier has theirs."""
        panel, layer = self._panels.classes, work.scribbles.layer
        own = list(map(PaintClass.from_core, classifier.classes))
        taken, spared = {info.value for info in own}, []
        for info in panel.classes:
            clashes = info.ignored and info.value in taken
            value = panel.free_value(taken) if clashes else None
            if value is not None:
                taken.add(value)
                work.scribbles.renumber(info.value, value)
                if layer.selected_label == info.value:
                    layer.selected_label = value
                info = _unlike(replace(info, value=value), own)
            spared.append(info)
        return spared

    def show_project(self, asked: Workspace | None, opened: OpenedProject) -> None:
        """Show a project read from its file.

        Parameters
        ----------
        asked : Workspace or None
            The image that was open when the project was asked for.
        opened : OpenedProject
            The project, without its image if that is the one of `asked`.
        """
        if opened.image is None and asked is not None and asked is not self._workspaces.current:
            self._strip.say(_OTHER_IMAGE, warn=True)
            return
        if opened.problem:
            take = partial(self.show_project, asked, replace(opened, problem=""))
            self._strip.say(opened.problem, ("Use the strokes", take), warn=True)
            return
        try:
            recipe, layers = recipe_of(opened.project), layers_of(opened)
        except AlibiSegError as error:
            self._strip.say(str(error), warn=True)
            return
        (scribbles, painted, _), *images = layers
        work = self._workspaces.current
        if not images and work is not None and not _fits(scribbles.shape, work.source):
            self._strip.say(misfit(scribbles.shape, work.source.micrograph), warn=True)
            return
        for pixels, options, _ in images:
            image = Image(pixels, **options)
            self._viewer.add_layer(image)
            self._chooser.choose_image(image)
        work = self._workspaces.current
        if work is not None:
            self._measure(work, opened.project)
            self._replace_scribbles(work, Labels(scribbles, **(painted | work.source.placement())))
            self._adopt(work, recipe)
            self._strip.put_away()

    def _measure(self, work: Workspace, project: Project) -> None:
        """Give the image the pixel size and spacing of a project unless it has its own."""
        if work.source.measure(project.pixel_size, project.spacing):
            self._viewer.reset_view()

    def _bring_back(self, work: Workspace, lost: Labels) -> None:
        if work is self._workspaces.current:
            work.owner = owner_of(lost) or work.owner
            layer = work.scribbles.layer
            layer.data = np.where(layer.data == 0, lost.data, layer.data)
            layer.name = lost.name

    def _replace_scribbles(self, work: Workspace, layer: Labels) -> None:
        """Paint on a new layer; hide the previous one, or remove it if blank and not the user's."""
        before, name = work.scribbles.layer, layer.name
        own = is_taken_over(before)
        self._workspaces.paint_on_new(work, layer)
        if is_blank(before) and not own:
            self._viewer.layers.remove(before)
            layer.name = name  # napari numbered the duplicate name
        else:
            before.visible = False

    def _adopt(self, work: Workspace, recipe: Recipe) -> None:
        """Use the classes and settings of a recipe on the open image."""
        work.own = {}
        self._panels.classes.show_classes(recipe.classes)
        self._panels.classes.settle()
        self._panels.show_config(recipe.config)
        self.settings_read.emit()
        self._workspaces.show_other_classes()


def _joined(classifier: PixelClassifier, classes: Sequence[PaintClass]) -> list[PaintClass]:
    """Return the classes of a classifier with those of the window that it lacks."""
    own = list(map(PaintClass.from_core, classifier.classes))
    values = {info.value for info in own}
    others = [info for info in classes if info.value not in values]
    return sorted([*own, *others], key=lambda info: info.value)


def _painted(work: Workspace) -> Mapping[int, int]:
    """Return the pixels of each class, as last reported by the engine."""
    return {} if work.counts is None else work.counts.pixels


def _is_unchanged(
    work: Workspace, loaded: PixelClassifier | None, painted: Mapping[int, int]
) -> bool:
    """Whether no classifier was loaded since, and nothing painted."""
    return work.loaded is loaded and _painted(work) == painted


def _unlike(info: PaintClass, others: Sequence[PaintClass]) -> PaintClass:
    """Return a class with a name and a colour that others do not have."""
    fresh = PaintClass.beside(info.value, others)
    named, coloured = ({getattr(o, part) for o in others} for part in ("name", "colour"))
    return replace(
        info,
        name=fresh.name if info.name in named else info.name,
        colour=fresh.colour if info.colour in coloured else info.colour,
    )


def _renumbered(before: PaintClass, now: PaintClass) -> str:
    return (
        f"{before.name!r}, which you ignore, has the number {now.value} now, and so has what you "
        f"painted in it: the classifier has a class {before.value} of its own."
    )


def _fits(shape: tuple[int, ...], source: ImageSource) -> bool:
    return shape == source.micrograph.label_shape

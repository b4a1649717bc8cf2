"""Bring back earlier strokes, of this session or another."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Image, Labels

from napari_alibi_seg.core.errors import AlibiSegError
from napari_alibi_seg.gui.ownership import OWNER
from napari_alibi_seg.gui.painting import is_blank
from napari_alibi_seg.gui.projects import layers_of, misfit, recipe_of
from napari_alibi_seg.gui.records import PaintClass, SessionProblem
from napari_alibi_seg.gui.sessions import set_aside
from napari_alibi_seg.gui.words import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_alibi_seg.core.forest.classifier import PixelClassifier
    from napari_alibi_seg.gui.controller import Controller
    from napari_alibi_seg.gui.projects import OpenedProject
    from napari_alibi_seg.gui.records import Recipe, SessionFound
    from napari_alibi_seg.gui.source import ImageSource
    from napari_alibi_seg.gui.workspace import Workspace

_OTHER_IMAGE = (
    "Another image was chosen while the project was being read; choose the image it belongs to "
    "and open the project again."
)


class Restorer:
    """Show the contents of session and project files, never overwriting strokes.

    Parameters
    ----------
    controller : Controller
        Owner.
    """

    def __init__(self, controller: Controller) -> None:
        self._controller = controller
        self._strip = controller.panels.strip

    def offer_session(self, work: Workspace, found: SessionFound | SessionProblem) -> None:
        """Offer once to restore an earlier session of an image, or report a problem with it."""
        if work.offered:
            return
        work.offered = True
        if isinstance(found, SessionProblem):
            self._strip.say(found.words, warn=True)
            return
        painted = counted(len(found.project.scribbles.values), "pixel")
        self._strip.say(
            f"You painted {painted} on this image before ({found.saved}).",
            ("Restore", partial(self.restore, work, found)),
            ("Start over", partial(self._decline, work, found)),
        )

    def restore(self, work: Workspace, found: SessionFound) -> None:
        """Paint the strokes of a session file on its image."""
        scribbles = found.project.scribbles
        if work is not self._controller.work:
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
        self._adopt(recipe)
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
        work, layers = self._controller.work, self._controller.viewer.layers
        assert work is not None
        instead = work.scribbles.layer
        self._strip.say(
            f"The layer {lost.name!r} was removed; paint on the new one added for it.",
            ("Bring it back", partial(self._bring_back, work, lost)),
            holds=lambda: work.scribbles.layer is instead and lost not in layers,
        )
        self._controller.ask()

    def use_classifier(self, classifier: PixelClassifier) -> None:
        """Apply a classifier from a file, with its settings, until something is painted."""
        work, panels = self._controller.work, self._controller.panels
        if work is None:
            return
        try:
            classifier.require_bands(work.source.micrograph.bands)
        except AlibiSegError as error:
            self._strip.say(str(error), warn=True)
            return
        config = replace(
            panels.settings.config,
            model=classifier.model,
            scale=classifier.scale,
            channels=classifier.channels,
            smoothing=classifier.smoothing,
        )
        panels.classes.show_classes(_joined(classifier, panels.classes.classes))
        panels.show_config(config)
        self._controller.apply(classifier)
        self._controller.workspaces.show_classes()

    def show_project(self, asked: Workspace | None, opened: OpenedProject) -> None:
        """Show a project read from its file.

        Parameters
        ----------
        asked : Workspace or None
            The image that was open when the project was asked for.
        opened : OpenedProject
            The project, without its image if that is the one of `asked`.
        """
        if opened.image is None and asked is not None and asked is not self._controller.work:
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
        work = self._controller.work
        if not images and work is not None and not _fits(scribbles.shape, work.source):
            self._strip.say(misfit(scribbles.shape, work.source.micrograph), warn=True)
            return
        for pixels, options, _ in images:
            image = Image(pixels, **options)
            self._controller.viewer.add_layer(image)
            self._controller.chooser.choose_image(image)
        work = self._controller.work
        if work is not None:
            if work.source.measure(opened.project.pixel_size, opened.project.spacing):
                self._controller.viewer.reset_view()
            self._paint_on(work, Labels(scribbles, **(painted | work.source.placement())))
            self._adopt(recipe)
            self._strip.put_away()

    def _bring_back(self, work: Workspace, lost: Labels) -> None:
        if work is self._controller.work:
            work.owner = lost.metadata.get(OWNER, work.owner)
            layer = work.scribbles.layer
            layer.data = np.where(layer.data == 0, lost.data, layer.data)
            layer.name = lost.name

    def _paint_on(self, work: Workspace, layer: Labels) -> None:
        """Paint on a new layer; hide the previous one, or remove it if blank."""
        before, name = work.scribbles.layer, layer.name
        self._controller.workspaces.paint_on_new(work, layer)
        if is_blank(before):
            self._controller.viewer.layers.remove(before)
            layer.name = name  # napari numbered the duplicate name
        else:
            before.visible = False

    def _adopt(self, recipe: Recipe) -> None:
        """Use the classes and settings of a recipe."""
        panels = self._controller.panels
        panels.classes.show_classes(recipe.classes)
        panels.show_config(recipe.config)
        self._controller.change_settings()
        self._controller.workspaces.show_classes()
        self._controller.brush.choose(recipe.classes[0].value)


def _joined(classifier: PixelClassifier, classes: Sequence[PaintClass]) -> list[PaintClass]:
    """Return the classes of a classifier with those of the window that it lacks."""
    own = list(map(PaintClass.from_core, classifier.classes))
    values = {info.value for info in own}
    others = [info for info in classes if info.value not in values]
    return sorted([*own, *others], key=lambda info: info.value)


def _fits(shape: tuple[int, ...], source: ImageSource) -> bool:
    return shape == source.micrograph.label_shape

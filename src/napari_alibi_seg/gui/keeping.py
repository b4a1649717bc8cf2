"""What was painted before, in this sitting or another, on the screen again."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from napari.layers import Image, Labels

from napari_alibi_seg.core.choices import CLASSICAL
from napari_alibi_seg.core.errors import AlibiSegError
from napari_alibi_seg.gui.projects import layers_of, recipe_of
from napari_alibi_seg.gui.records import PaintClass
from napari_alibi_seg.gui.sessions import set_aside
from napari_alibi_seg.gui.works import is_blank

if TYPE_CHECKING:
    from napari_alibi_seg.core.classifier import PixelClassifier
    from napari_alibi_seg.gui.controller import Controller
    from napari_alibi_seg.gui.projects import OpenedProject
    from napari_alibi_seg.gui.records import Recipe, SessionFound
    from napari_alibi_seg.gui.work import Work


class Keeper:
    """Shows what session and project files hold, and never paints over what is painted.

    Parameters
    ----------
    controller : Controller
        Owner.
    """

    def __init__(self, controller: Controller) -> None:
        self._controller = controller
        self._strip = controller.panels.strip

    def offer_session(self, found: SessionFound) -> None:
        """Ask whether to go on with an earlier session."""
        self._strip.say(
            f"You painted {len(found.project.strokes.values)} pixels on this image before "
            f"({found.saved}).",
            ("Restore", partial(self.restore, found)),
            ("Start anew", partial(set_aside, found.path)),
        )

    def restore(self, found: SessionFound) -> None:
        """Paint what a session file holds."""
        work, strokes = self._controller.work, found.project.strokes
        if work is None or work.source.micrograph.label_shape != strokes.shape:
            return
        try:
            recipe = recipe_of(found.project)
        except AlibiSegError as error:
            self._strip.say(str(error), warn=True)
            return
        work.second_offered = True
        work.owner = found.project.owner
        self._adopt(recipe)
        work.scribbles.restore(strokes)

    def offer_lost(self, lost: Labels) -> None:
        """Ask whether to bring back a layer that was painted on and removed."""
        back = partial(self._bring_back, self._controller.work, lost)
        self._strip.say(
            f"The layer {lost.name!r} was removed; a new one is there to paint on.",
            ("Bring it back", back),
        )
        self._controller.ask()

    def use_classifier(self, classifier: PixelClassifier) -> None:
        """Apply a classifier from a file, with its settings, until something is painted."""
        if self._controller.work is None:
            return
        panels, features = self._controller.panels, classifier.features
        settings = replace(
            panels.settings,
            model=CLASSICAL if features is None else features.backbone.name,
            scale=None if features is None else features.scale,
            components=classifier.channels.components,
        )
        panels.classes.show_classes(
            [PaintClass(known.value, known.name, known.colour) for known in classifier.classes]
        )
        panels.show_settings(settings)
        self._controller.apply(classifier)
        self._controller.change_classes()

    def show_project(self, opened: OpenedProject) -> None:
        """Show a project that was read."""
        if opened.problem:
            take = partial(self.show_project, replace(opened, problem=""))
            self._strip.say(opened.problem, ("Take the strokes", take), warn=True)
            return
        try:
            recipe, layers = recipe_of(opened.project), layers_of(opened)
        except AlibiSegError as error:
            self._strip.say(str(error), warn=True)
            return
        (scribbles, painted, _), *images = layers
        for pixels, options, _ in images:
            image = Image(pixels, **options)
            self._controller.viewer.add_layer(image)
            self._controller.choose_image(image)
        work = self._controller.work
        if work is not None:
            if work.source.measure(opened.project.pixel_size):
                self._controller.viewer.reset_view()
            self._paint_on(work, Labels(scribbles, **(painted | work.source.placement())))
            self._adopt(recipe)
            self._strip.hide()

    def _bring_back(self, work: Work | None, lost: Labels) -> None:
        if work is not None and work is self._controller.work:
            work.scribbles.layer.data = lost.data

    def _paint_on(self, work: Work, layer: Labels) -> None:
        """Paint on a new layer; the one painted on before stays, hidden, unless it is blank."""
        before = work.scribbles.layer
        self._controller.works.paint_on_new(work, layer)
        if is_blank(before):
            self._controller.viewer.layers.remove(before)
        else:
            before.visible = False

    def _adopt(self, recipe: Recipe) -> None:
        """Show names, colours and settings, and train with them."""
        panels = self._controller.panels
        panels.classes.show_classes(recipe.classes)
        panels.show_settings(recipe.settings)
        self._controller.change_settings()
        self._controller.change_classes()
        self._controller.brush.choose(recipe.classes[0].value)

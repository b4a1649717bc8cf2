"""Choose what is worked on: the image, how it is read, and the layer painted on."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import QObject, Signal

from napari_alibi_seg.core.errors import AlibiSegError
from napari_alibi_seg.gui.covering import hides, uncover
from napari_alibi_seg.gui.leftovers import clear_up
from napari_alibi_seg.gui.ownership import (
    image_layers,
    image_to_begin_with,
    last_reading,
    offered_scribbles,
)
from napari_alibi_seg.gui.painting import MANY, holds_many, is_blank
from napari_alibi_seg.gui.parts import ChipState
from napari_alibi_seg.gui.projects import RECIPE, misfit
from napari_alibi_seg.gui.source import (
    ImageSource,
    first_channels,
    offered_channels,
    paintable_readings,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.layers import Image, Labels
    from napari.viewer import Viewer

    from napari_alibi_seg.gui.brush import Brush
    from napari_alibi_seg.gui.dock import Panels
    from napari_alibi_seg.gui.source import Reading
    from napari_alibi_seg.gui.workspace import Workspace
    from napari_alibi_seg.gui.workspaces import Workspaces


class Chooser(QObject):
    """Turn to another image, reading or scribbles layer, as the user or the layers require.

    Parameters
    ----------
    viewer : Viewer
        The viewer.
    panels : Panels
        List what can be chosen, and show questions about it.
    workspaces : Workspaces
        Open and close the images.
    brush : Brush
        Paints on the open image.
    parent : QObject
        Owner.
    """

    closing = Signal()
    """The open image is about to be closed."""
    opened = Signal(object)
    """Work on an image has begun."""
    changed = Signal()
    """What is worked on has changed, so that the result is out of date."""

    def __init__(
        self,
        viewer: Viewer,
        panels: Panels,
        workspaces: Workspaces,
        brush: Brush,
        parent: QObject,
    ) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._panels = panels
        self._workspaces = workspaces
        self._brush = brush
        self._images: list[Image] = []
        workspaces.pixels_changed.connect(self._reread)

    def follow_layers(self) -> None:
        """Update the lists of layers, and choose an image if none is open.

        A newly opened image is chosen too if nothing was done with the current one.
        """
        layers, before = self._viewer.layers, self._images
        self._images = image_layers(layers)
        opened = [image for image in self._images if image not in before]
        removed = [image for image in before if image not in self._images]
        if self._work is not None and self._work.source.layer not in layers:
            self._close()
            self._panels.classes.show_plain()
        self._workspaces.follow_layers()
        if self._work is None and self._images:
            self.choose_image(image_to_begin_with(self._images, layers.selection.active))
        elif self._work is not None and opened and opened[-1] != self._work.source.layer:
            self._welcome(self._work, opened[-1])
        if self._workspaces.follow_results():
            self.changed.emit()
        self._offer_layers()
        self._panels.strip.review()
        if removed:
            clear_up(removed, layers, self._panels.strip)

    def choose_image(
        self,
        layer: Image,
        reading: Reading | None = None,
        channels: tuple[int, ...] | None = None,
    ) -> None:
        """Work on an image from now on, with any strokes painted on it before.

        If it cannot be used, another image that is open stays open.
        """
        if self._work is not None and self._work.source.layer == layer:
            self._close()
        try:
            offered = paintable_readings(layer)
            chosen, last = (
                (reading, channels) if reading in offered else self._last_reading(layer, offered)
            )
            kept = last if last in offered_channels(layer, chosen) else None
            source = ImageSource.of(layer, chosen, kept or first_channels(layer, chosen))
        except AlibiSegError as error:
            self._refuse(layer, error)
            return
        self._close()
        self.opened.emit(self._workspaces.open(source))
        source.show_channel(self._viewer.dims)
        self._panels.image.offer_readings(offered, source)
        self.follow_layers()
        self.changed.emit()

    def go_to(self, layer: Image) -> None:
        """Work on an image that the user chose, and show it."""
        if layer in self._viewer.layers:  # may have been removed since
            uncover(layer, self._viewer)
            self.choose_image(layer)

    def choose_reading(self, reading: Reading) -> None:
        """Read the axes of the image in another way."""
        if self._work is not None:
            self.choose_image(self._work.source.layer, reading)

    def choose_channels(self, channels: tuple[int, ...]) -> None:
        """Use another channel, or all together."""
        if self._work is not None:
            self.choose_image(self._work.source.layer, self._work.source.reading, channels)

    def choose_scribbles(self, layer: Labels) -> None:
        """Paint on another layer."""
        work, strip = self._work, self._panels.strip
        if work is None or layer == work.scribbles.layer:
            return
        if layer.data.shape != work.source.micrograph.label_shape:
            strip.say(misfit(layer.data.shape, work.source.micrograph), warn=True)
            self.follow_layers()
        elif holds_many(layer):
            strip.say(
                f"{layer.name!r} holds more than {MANY} values, as labels of single grains or "
                "particles do. Painting on it turns each into a class, which is slow.",
                ("Paint on it", partial(self._change_layer, work, layer)),
                holds=lambda: layer in self._viewer.layers and work.scribbles.layer is not layer,
            )
            self.follow_layers()
        else:
            self._change_layer(work, layer)

    def offer_nothing(self) -> None:
        """Empty the lists of layers."""
        self._panels.image.layers.offer([], None)
        self._panels.classes.offer_layers([], None)

    @property
    def _work(self) -> Workspace | None:
        return self._workspaces.current

    def _close(self) -> None:
        self.closing.emit()
        self._workspaces.close()

    def _offer_layers(self) -> None:
        """List the images, and the layers that can be painted on."""
        work = self._work
        self._panels.image.layers.offer(self._images, work.source.layer if work else None)
        scribbles = offered_scribbles(self._viewer.layers, work.source) if work else []
        self._panels.classes.offer_layers(scribbles, work.scribbles.layer if work else None)

    def _last_reading(
        self, layer: Image, offered: Sequence[Reading]
    ) -> tuple[Reading, tuple[int, ...] | None]:
        """Return the reading an image was last painted in, or the first one offered."""
        known = self._workspaces.last_source(layer)
        if known is not None:
            axes, channels = known.reading.axes, known.channels
        else:
            axes, channels = last_reading(self._viewer.layers, layer) or ("", None)
        return next(((one, channels) for one in offered if one.axes == axes), (offered[0], None))

    def _refuse(self, layer: Image, error: AlibiSegError) -> None:
        """Say why an image cannot be used."""
        here = partial(self._is_unusable, layer, self._work)
        self._panels.strip.say(str(error), warn=True, holds=here)
        if self._work is None:
            self._panels.image.chip.show_state(ChipState.NONE, "This image cannot be used")
        else:
            self.follow_layers()  # the list shows the chosen image

    def _is_unusable(self, layer: Image, opened: Workspace | None) -> bool:
        return self._work is opened and layer in self._viewer.layers

    def _welcome(self, work: Workspace, opened: Image) -> None:
        """Turn to a newly opened image, or offer to if the current one is in use."""
        here = work.source.layer
        if not work.touched and work.loaded is None and is_blank(work.scribbles.layer):
            self.choose_image(opened)
        elif hides(opened, here):
            self._panels.strip.say(
                f"{opened.name!r} was opened and hides {here.name!r}, which you are working on. Go "
                f"to {opened.name!r}, or stay with {here.name!r}?",
                ("Go there", partial(self.go_to, opened)),
                ("Stay here", partial(self._stay, work)),
                holds=partial(self._is_hidden, here, opened),
                waits=True,
            )

    def _is_hidden(self, layer: Image, other: Image) -> bool:
        there = layer in self._viewer.layers and other in self._viewer.layers
        return there and hides(other, layer)

    def _stay(self, work: Workspace) -> None:
        """Keep working on the open image, and uncover it."""
        uncover(work.source.layer, self._viewer)
        self._brush.activate()

    def _reread(self) -> None:
        """Use the new pixels of the image; scribbles stay if they still fit."""
        old, config = self._work, self._panels.settings.config
        if old is None:
            return
        self._workspaces.forget(old)
        old.source.forget_file()
        self.choose_image(old.source.layer, old.source.reading, old.source.channels)
        if self._work is not None and self._work.scribbles.layer == old.scribbles.layer:
            self._work.second_offered = True
            self._carry_over(old, self._work)
            self._panels.show_config(config)
            self._workspaces.show_classes()
            self._tell_of_pixels(old)
            self.changed.emit()
        elif self._work is not None:
            self._tell_of_size(self._work, old.scribbles.layer)

    def _carry_over(self, old: Workspace, work: Workspace) -> None:
        """Go on with the classes of earlier work, and its loaded classifier if it still fits."""
        if old.loaded is None or old.loaded.misfit(work.source.micrograph.bands):
            self._panels.classes.show_classes(old.own_classes(old.classes))
            return
        work.loaded, work.own = old.loaded, old.own
        self._panels.classes.show_classes(old.classes)

    def _tell_of_pixels(self, work: Workspace) -> None:
        """Say that strokes are used on other pixels than they were painted on."""
        if work.counts is not None and work.counts.pixels:
            self._panels.strip.say(
                f"The pixels of {work.source.layer.name!r} have changed; check that its strokes "
                "still lie where they should."
            )

    def _tell_of_size(self, work: Workspace, before: Labels) -> None:
        """Say that strokes no longer fit the image, and where they are kept."""
        layers = self._viewer.layers
        if before in layers and not is_blank(before):
            self._panels.strip.say(
                f"{work.source.layer.name!r} has changed size, so its strokes no longer fit. "
                f"They are kept in the hidden layer {before.name!r}.",
                holds=lambda: before in layers and not before.visible,
            )

    def _change_layer(self, work: Workspace, layer: Labels) -> None:
        if work is not self._work or layer not in self._viewer.layers:  # may be gone by now
            return
        before, layer.visible = work.scribbles.layer, True
        before.visible = is_blank(before)  # show only strokes that are used
        if RECIPE in layer.metadata:
            work.own = {}
            self._panels.classes.show_classes(layer.metadata[RECIPE].classes)
        self._workspaces.paint_on(work, layer)
        if work.loaded is None:
            work.outdate()
        self.follow_layers()
        self._tell_of_place(work)
        self.changed.emit()

    def _tell_of_place(self, work: Workspace) -> None:
        """Say if the scribbles layer is not aligned with the image, and offer to align it."""
        layer = work.scribbles.layer
        if not _lies_on(layer, work.source):
            self._panels.strip.say(
                f"The layer {layer.name!r} is not aligned with the image (place, pixel size); "
                "its pixels are matched to the image's one by one.",
                ("Align with image", partial(work.source.place, layer)),
                holds=lambda: work.scribbles.layer is layer and not _lies_on(layer, work.source),
            )


def _lies_on(layer: Labels, source: ImageSource) -> bool:
    """Whether the first and last pixels of a layer coincide with those of an image."""
    corner = np.array(source.micrograph.label_shape) - 1
    return all(
        np.allclose(layer.data_to_world(end), source.in_world(tuple(end)))
        for end in (0 * corner, corner)
    )

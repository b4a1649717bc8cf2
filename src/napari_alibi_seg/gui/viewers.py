"""What moved to another place in napari 0.9, and the canvas in a viewer's window."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QMainWindow, QOpenGLWidget

if TYPE_CHECKING:
    from napari.components import Camera
    from napari.viewer import Viewer
    from qtpy.QtWidgets import QWidget


def camera_of(viewer: Viewer) -> Camera:
    """Return the camera of a viewer."""
    camera: Camera = getattr(viewer, "scene", viewer).camera
    return camera


def shows_grid(viewer: Viewer) -> bool:
    """Whether a viewer shows its layers beside one another."""
    return bool(getattr(viewer, "canvas", viewer).grid.enabled)


def canvas_of(viewer: Viewer, widget: QWidget) -> QWidget | None:
    """Return the canvas of a widget's main window, even if its dock floats; None for a grid."""
    return None if shows_grid(viewer) else _canvas_beside(widget)


def draw_on_canvas(widget: QWidget) -> None:
    """Make the canvas of a widget's main window the one OpenGL commands go to.

    napari frees what it has drawn of removed layers in whatever OpenGL context is current, mostly
    that of the window. Some drivers, Mesa's for software rendering among them, then lose the shader
    in use on the canvas, and the next drawing ends the process.
    """
    canvas = _canvas_beside(widget)
    if canvas is not None:
        canvas.makeCurrent()


def _canvas_beside(widget: QWidget) -> QOpenGLWidget | None:
    window: QWidget | None = widget
    while window is not None and not isinstance(window, QMainWindow):
        window = window.parentWidget()
    return None if window is None else window.findChild(QOpenGLWidget)

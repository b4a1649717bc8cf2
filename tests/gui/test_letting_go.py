"""What is removed or closed is let go of: no layer, callback or thread outlives its use."""

import gc
import weakref

import numpy as np
import pytest
import tifffile
from qtpy.QtGui import QOpenGLContext

from napari_alibi_seg.core.judging.fractions import read_fractions
from napari_alibi_seg.gui.strip import Strip


@pytest.fixture
def spared_collector():
    """Look for garbage everywhere, as in use."""
    gc.unfreeze()


def test_an_image_that_is_removed_and_what_was_computed_of_it_are_let_go_of(segmented_desk, pixels):
    desk = segmented_desk
    parts = (desk.work, desk.work.scribbles, desk.work.result, *desk.viewer.layers)
    left = [weakref.ref(part) for part in parts]
    computed = weakref.ref(desk.work.source.micrograph)
    del parts

    desk.viewer.layers.clear()
    desk.rest()
    gc.collect()
    assert computed() is None

    desk.open(pixels[:100], name="second")
    desk.rest()
    gc.collect()
    assert [ref() for ref in left] == [None] * 6


def test_what_was_drawn_of_an_image_is_freed_on_the_canvas(segmented_desk):
    """Freed elsewhere, it can end the process when something is next drawn, a brush's box say."""
    desk = segmented_desk
    freed_on = []
    desk.viewer.layers.events.removed.connect(
        lambda: freed_on.append(QOpenGLContext.currentContext()), position="last"
    )

    desk.canvas.native.doneCurrent()
    desk.viewer.layers.clear()

    assert freed_on == 3 * [desk.canvas.native.context()]
    desk.rest()


def test_layers_that_were_put_away_are_let_go_of(segmented_desk, pixels):
    desk = segmented_desk
    other = desk.open(255 - pixels, name="second")
    desk.rest()
    desk.choose_image(other)
    desk.rest()
    left = [weakref.ref(layer) for layer in desk.viewer.layers if "alloy" in layer.name]
    assert len(left) == 3

    for name in [layer.name for layer in desk.viewer.layers if "alloy" in layer.name]:
        desk.viewer.layers.remove(name)
    desk.rest()
    gc.collect()

    assert [ref() for ref in left] == [None] * 3


def test_a_project_that_is_read_when_the_dock_is_closed_is_not_opened(desk, pixels, tmp_path):
    desk.hurry()
    desk.open(pixels)
    desk.two_strokes()
    desk.dock.exports.save_project(tmp_path / "p.alibi")
    desk.until(lambda: not desk.dock.background.busy)
    desk.viewer.layers.clear()
    desk.rest()

    desk.dock.reuse.open_project(tmp_path / "p.alibi")
    desk.dock.release()
    desk.until(lambda: not desk.dock.background.busy)

    assert desk.work is None
    assert list(desk.viewer.layers) == []


def test_a_stop_leaves_the_files_before_it_whole_lets_none_follow_and_is_told(
    segmented_desk, pixels, tmp_path
):
    desk, strip, out = segmented_desk, segmented_desk.panels.strip, tmp_path / "out"
    paths = [tmp_path / "a.tif", tmp_path / "b.tif", tmp_path / "stack.ome.tif"]
    for path in paths[:2]:
        tifffile.imwrite(path, pixels)
    planes = np.stack([np.roll(pixels, shift, 0) for shift in range(60)])
    tifffile.imwrite(paths[2], planes, metadata={"axes": "ZYX"})

    desk.dock.reuse.apply_to_files(paths[:2], out)
    desk.until(lambda: "(1 of 2)" in strip.words)
    strip.buttons[0].click()
    desk.rest()
    written = list(out.glob("*_labels.tif"))  # none, unless it was quicker than the click
    assert len(written) < 2
    assert strip.words == f"Stopped; {len(written)} of 2 images segmented in {out}."
    assert [button.text() for button in strip.buttons] == ["Dismiss"]
    done = {f"{path.name[0]}.tif" for path in written}
    assert {row[0] for row in read_fractions(out / "fractions.csv")} == done

    out = tmp_path / "out of a stack"
    desk.dock.reuse.apply_to_files([paths[0], paths[2]], out)
    desk.until(lambda: strip.asks and start(desk) and stack_begun(out))
    strip.buttons[0].click()
    desk.rest()
    assert strip.words.startswith("Stopped; 1 of 2 images segmented in")
    assert {path.name for path in out.iterdir()} == {"a_labels.tif", "fractions.csv"}
    assert {row[0] for row in read_fractions(out / "fractions.csv")} == {"a.tif"}


def start(desk):
    """Answer the question about a long run, if it is asked; return whether it goes on."""
    if desk.panels.strip.buttons[0].text() == "Start":
        desk.panels.strip.buttons[0].click()
    return "(2 of 2)" in desk.panels.strip.words


def stack_begun(folder):
    """Return whether some of the second file is written, under a name that is not its own."""
    return any(path.stat().st_size for path in folder.rglob("stack_labels.tif"))


def test_garbage_is_looked_for_in_what_is_loaded_only_once_a_layer_was_removed(desk, pixels):
    desk.open(pixels)
    desk.until(lambda: desk.panels.image.chip.words.startswith("Ready"))
    assert gc.get_freeze_count() > 100_000

    desk.viewer.layers.clear()
    assert gc.get_freeze_count() == 0


class Told:
    """What a message is about."""


@pytest.mark.parametrize("end", ["review", "answer"])
def test_a_message_that_is_gone_holds_nothing(qtbot, end):
    strip, about = Strip(), Told()
    qtbot.addWidget(strip)
    left, true, answers = weakref.ref(about), [1], []
    strip.say(
        "Told.",
        ("Do", lambda about=about: answers.append(type(about))),
        holds=lambda about=about: bool(true and about),
    )
    del about
    if end == "review":
        true.clear()
        strip.review()
    else:
        strip.buttons[0].click()
        assert answers == [Told]

    qtbot.waitUntil(lambda: left() is None)
    assert not strip.words

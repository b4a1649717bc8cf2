"""What is removed or closed is let go of: no layer, callback or thread outlives its use."""

import gc
import weakref


def test_an_image_that_is_removed_is_let_go_of(desk, pixels):
    desk.hurry()
    desk.open(pixels, name="first")
    desk.two_strokes()
    desk.until(lambda: desk.segmented is not None)
    desk.rest()
    parts = (desk.work, desk.work.scribbles, desk.work.result, *desk.viewer.layers)
    left = [weakref.ref(part) for part in parts]
    del parts

    desk.viewer.layers.clear()
    desk.rest()
    desk.open(pixels[:100], name="second")
    desk.rest()
    gc.collect()

    assert [ref() for ref in left] == [None] * 6

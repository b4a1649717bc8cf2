import csv
import io
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pandas
import pytest

from napari_alibi_seg.core.classes import ClassInfo
from napari_alibi_seg.core.errors import OutputError
from napari_alibi_seg.core.images.micrograph import Micrograph
from napari_alibi_seg.core.images.pixel_size import PixelSize
from napari_alibi_seg.core.judging.assessment import Assessment
from napari_alibi_seg.core.judging.expectation import Estimate, Expectation, expectation
from napari_alibi_seg.core.judging.fractions import (
    COLUMNS,
    add_fractions,
    class_fractions,
    least_certain,
    read_fractions,
    write_fractions,
)
from napari_alibi_seg.core.runs.batch import unlike_words

CLASSES = [ClassInfo(1, 'matrix, "gamma"', (1, 2, 3)), ClassInfo(5, "δ\u2032", (4, 5, 6))]
SIZE = PixelSize("µm", None, 0.1, 0.1)
LABELS = np.array([[1, 1, 5], [1, 0, 5]], np.uint8)


def image_of(pixels, axes="YX", size=SIZE):
    return Micrograph(np.asarray(pixels), axes, size)


EXPECTED = Expectation(0.85, {1: Estimate(0.5, 0.4, 0.55), 5: Estimate(0.4, 0.3, 0.5)}, True)


def assessment(recalls):
    fractions = EXPECTED.fractions
    return Assessment(Estimate(0.85, 0.8, 0.9), fractions, recalls, (), 0.0, 1.0)


def measured(pixels=None, axes="YX", index=(), size=SIZE, told=None, labels=LABELS):
    image = image_of(np.zeros((2, 3), np.uint8) if pixels is None else pixels, axes, size)
    return class_fractions("a.tif", image, index, labels, CLASSES, told)


def test_fractions_are_of_the_pixels_that_have_a_class():
    assert [(row.pixels, row.fraction) for row in measured()] == [(3, 0.6), (2, 0.4)]


def test_without_a_counted_pixel_there_is_no_fraction():
    rows = measured(labels=np.zeros_like(LABELS), told=EXPECTED)
    assert [(row.pixels, row.fraction, row.low, row.area) for row in rows] == [
        (0, None, None, 0)
    ] * 2


def test_an_interval_holds_its_fraction():
    rows = measured(told=EXPECTED)
    assert [(row.low, row.high) for row in rows] == [(0.4, 0.6), (0.3, 0.5)]
    assert [row.accuracy for row in rows] == [0.85, 0.85]


def test_votes_are_expected_to_be_right_as_often_as_they_are_sure():
    confusion = np.array([[60.0, 4.0], [16.0, 20.0]])  # true class by row
    expected = Expectation.of(confusion, CLASSES)
    assert expected.accuracy == 0.8
    first = expected.fractions[1]
    assert (first.value, first.low, first.high) == pytest.approx((0.76, 0.76 - 0.24, 1.0))
    assert Expectation.of(0 * confusion, CLASSES) is None


def test_votes_count_where_there_are_no_strokes_if_strokes_are_recognised_elsewhere():
    good, bad = assessment({1: 1.0, 5: 0.9}), assessment({1: 0.5, 5: 0.5})
    voted = Expectation(0.7, {})
    assert expectation((1,), voted) is voted
    assert expectation((1,), voted, recognised=False) is None
    assert expectation((1,), voted, novelty=9.0) is None
    assert expectation((1,), voted, novelty=1.5) is voted
    assert expectation((0,), voted, {(0,): good}, novelty=9.0) == EXPECTED
    assert expectation((1,), voted, {(0,): good}) is voted
    assert expectation((0,), voted, {(0,): good}) == EXPECTED
    for told in ({}, {(0,): bad}, {(0,): bad, (2,): good}):
        assert expectation((1,), voted, told) is None
    assert expectation((0,), voted, {(0,): bad}) is None


def test_planes_are_counted_as_the_sliders_count():
    pixels = np.zeros((2, 4, 2, 3), np.uint8)
    assert measured()[0].plane == 0
    assert measured(pixels[0], "ZYX", (3,))[0].plane == 3
    assert measured(pixels, "TZYX", (1, 3))[0].plane == "T1 Z3"


def test_areas_are_pixels_times_the_area_of_one():
    wide = PixelSize("nm", None, 2.0, 8.0)
    for row in measured(size=wide):
        assert row.area == row.pixels * 16
        assert row.row()[9:12] == (4.0, "nm", row.pixels * 16)


def test_pandas_reads_what_was_written(tmp_path):
    rows = measured(told=EXPECTED) + measured(size=None)
    write_fractions(tmp_path / "f.csv", rows)

    table = pandas.read_csv(tmp_path / "f.csv")

    assert tuple(table.columns) == COLUMNS
    assert table["class_name"].tolist() == [info.name for info in CLASSES] * 2
    assert table["length_unit"].tolist()[:2] == ["µm", "µm"]
    for number, row in enumerate(rows):
        expected = pandas.DataFrame([row.row()], columns=COLUMNS).iloc[0]
        for name in COLUMNS:
            empty = expected[name] is None
            assert (
                pandas.isna(table[name][number]) if empty else table[name][number] == expected[name]
            )


def test_the_image_with_the_lowest_mean_accuracy_is_the_least_certain(tmp_path):
    rows, image = [], image_of(np.zeros((2, 2, 3), np.uint8), "ZYX")
    for name, accuracies in {"a.tif": (0.9, 0.8), "b.tif": (0.95, 0.7), "c.tif": (None,)}.items():
        for plane, accuracy in enumerate(accuracies):
            told = None if accuracy is None else Expectation(accuracy, {})
            rows += class_fractions(name, image, (plane,), LABELS, CLASSES, told)
    write_fractions(tmp_path / "f.csv", rows)
    table = read_fractions(tmp_path / "f.csv")
    assert least_certain(table) == ("b.tif", pytest.approx(0.825))
    assert least_certain(table[-2:]) is None

    rows += class_fractions("d.tif", image, (0,), LABELS, CLASSES, None, novelty=9.0)
    write_fractions(tmp_path / "f.csv", rows)
    assert least_certain(read_fractions(tmp_path / "f.csv")) == ("d.tif", 0)
    empty = class_fractions("e.tif", image, (0,), 0 * LABELS, CLASSES, None, novelty=9.0)
    assert unlike_words(empty) == ""
    assert "looks unlike" in unlike_words(rows[-2:])


def test_the_file_is_rfc_4180_and_utf_8_that_excel_recognises(tmp_path):
    write_fractions(tmp_path / "f.csv", measured())
    written = (tmp_path / "f.csv").read_bytes()
    assert written.startswith("\ufeffimage,plane,".encode())
    assert written.count(b"\r\n") == written.count(b"\n") == 3
    text = written.decode("utf-8-sig")
    assert '"matrix, ""gamma"""' in text
    lines = list(csv.reader(io.StringIO(text, newline="")))
    assert {len(line) for line in lines} == {len(COLUMNS)}


def test_a_table_never_has_the_name_of_an_image(tmp_path):
    for write in (write_fractions, add_fractions):
        with pytest.raises(OutputError, match=r"a name for an image; let a table .* \.csv"):
            write(tmp_path / "f.tif", measured())
    assert not [*tmp_path.iterdir()]


def test_rows_are_added_and_those_of_the_same_image_replaced(tmp_path):
    path, [row, *_] = tmp_path / "f.csv", measured()
    first, strange = replace(row, image='a, "b"\n'), replace(row, image="\udcff.tif")
    add_fractions(path, [first, strange])
    add_fractions(path, [replace(row, image="c.tif")])
    add_fractions(path, (replace(strange, pixels=count) for count in [7]))

    assert [(name, int(pixels)) for name, _, _, _, pixels, *_ in read_fractions(path)] == [
        (first.image, row.pixels),
        ("c.tif", row.pixels),
        ("?.tif", 7),
    ]


def test_nothing_is_lost_where_several_add_at_once(tmp_path):
    path, [row, *_] = tmp_path / "f.csv", measured()
    names = [f"{number}.tif" for number in range(40)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda name: add_fractions(path, [replace(row, image=name)]), names))
    assert sorted(row[0] for row in read_fractions(path)) == sorted(names)
    assert [left.name for left in tmp_path.iterdir()] == ["f.csv"]


@pytest.mark.parametrize("held", [b"", b"\xff\xfe", b"image,plane\r\n", b"%(table)s1,2\r\n"])
def test_what_is_no_table_is_neither_added_to_nor_touched(tmp_path, held):
    path, rows = tmp_path / "f.csv", measured()
    write_fractions(path, rows)
    path.write_bytes(held.replace(b"%(table)s", path.read_bytes()))
    before = path.read_bytes()
    with pytest.raises(OutputError, match="left as it is"):
        add_fractions(path, rows)
    assert path.read_bytes() == before


def test_an_interruption_leaves_the_earlier_table(tmp_path):
    def broken():
        yield measured()[0]
        raise KeyboardInterrupt

    write_fractions(tmp_path / "f.csv", measured())
    before = (tmp_path / "f.csv").read_bytes()
    with pytest.raises(KeyboardInterrupt):
        write_fractions(tmp_path / "f.csv", broken())
    assert (tmp_path / "f.csv").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["f.csv"]


def test_a_table_never_replaces_a_folder(tmp_path):
    (tmp_path / "f.csv").mkdir()
    (tmp_path / "f.csv/notes").touch()
    with pytest.raises(OutputError, match="choose another name"):
        write_fractions(tmp_path / "f.csv", measured())

import csv

import numpy as np
import pandas
import pytest
from scipy.stats import t

from napari_alibi_seg.core.classes import ClassInfo
from napari_alibi_seg.core.images.micrograph import as_micrograph
from napari_alibi_seg.core.judging.fractions import (
    COLUMNS,
    class_fractions,
    read_fractions,
    write_fractions,
)
from napari_alibi_seg.core.judging.mean_fractions import (
    MEAN_COLUMNS,
    mean_fractions,
    write_mean_fractions,
)

CLASSES = [ClassInfo.default(1, "matrix"), ClassInfo.default(2, "pores")]


@pytest.fixture
def table(tmp_path):
    """Return the table of named planes of 100 pixels, so many of which are pores."""

    def write(*planes):
        rows = []
        for name, plane, pores in planes:
            labels = np.ones((3, 10, 10), np.uint8)
            labels[plane].flat[:pores] = 2
            image = as_micrograph(labels, "ZYX")
            rows += class_fractions(name, image, (plane,), labels[plane], CLASSES)
        write_fractions(tmp_path / "f.csv", rows)
        return read_fractions(tmp_path / "f.csv")

    return write


def test_the_interval_is_that_of_students_t(table):
    pores = [12, 20, 31, 9]
    mean = mean_fractions(table(*((f"{n}.tif", 0, n) for n in pores)))[1]
    fractions = np.array(pores) / 100
    low, high = t.interval(0.95, 3, fractions.mean(), fractions.std(ddof=1) / 2)
    assert (mean.name, mean.images) == ("pores", 4)
    assert [mean.mean - mean.margin, mean.mean + mean.margin] == pytest.approx([low, high])


def test_planes_of_a_stack_are_one_sample(table):
    planes = ("stack.tif", 0, 10), ("stack.tif", 1, 30)
    assert mean_fractions(table(*planes)) == []
    mean = mean_fractions(table(*planes, ("plane.tif", 0, 40)))[1]
    assert (mean.images, mean.mean) == (2, pytest.approx(0.3))


def test_an_interval_stays_within_0_and_1_and_needs_something_to_be_relative_to(table, tmp_path):
    means = mean_fractions(table(("a", 0, 0), ("b", 0, 9)))
    write_mean_fractions(tmp_path / "m.csv", means)
    written = pandas.read_csv(tmp_path / "m.csv")
    assert tuple(written.columns) == MEAN_COLUMNS
    assert written["mean_low_95"][1] == 0
    assert written["mean_high_95"][0] == 1
    assert written["relative_accuracy_percent"][1] > 100

    write_mean_fractions(tmp_path / "m.csv", mean_fractions(table(("a", 0, 0), ("b", 0, 0))))
    with (tmp_path / "m.csv").open(encoding="utf-8-sig", newline="") as file:
        assert list(csv.reader(file))[2] == ["2", "pores", "2", "0.0", "0.0", "0.0", "0.0", "", ""]


def test_classes_of_one_value_but_other_names_are_not_averaged(table):
    rows = table(("a", 0, 10), ("b", 0, 30), ("c", 0, 50), ("d", 0, 70))
    for row in rows[4:]:
        row[3] = row[3].replace("pores", "carbides")
    means = {mean.name: mean.mean for mean in mean_fractions(rows)}
    assert means == pytest.approx({"matrix": 0.6, "pores": 0.2, "carbides": 0.6})


def test_results_of_different_classifiers_are_not_averaged(table):
    rows = table(("a", 0, 10), ("b", 0, 30), ("c", 0, 50), ("d", 0, 70), ("e", 0, 90))
    for row, classifier in zip(rows, "ccccddddee", strict=True):
        row[COLUMNS.index("classifier")] = classifier
    means = {(mean.classifier, mean.name): mean.mean for mean in mean_fractions(rows)}
    assert means == pytest.approx(
        {("c", "matrix"): 0.8, ("c", "pores"): 0.2, ("d", "matrix"): 0.4, ("d", "pores"): 0.6}
    )


def test_an_image_without_any_class_does_not_count(table):
    rows = table(("a", 0, 10), ("b", 0, 30), ("c", 0, 0))
    rows[-2][4] = rows[-1][4] = "0"
    assert [mean.images for mean in mean_fractions(rows)] == [2, 2]

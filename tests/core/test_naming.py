from pathlib import Path, PureWindowsPath

import pytest

from napari_alibi_seg.core.errors import OutputError
from napari_alibi_seg.core.naming import FRACTIONS, LABELS, beside, label_files, stem


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("alloy", "alloy"),
        ("alloy.ome", "alloy"),
        ("alloy.OME.TIFF", "alloy"),
        ("volume.ome.zarr", "volume"),
        ("v1.2 at 700 °C", "v1.2 at 700 °C"),
        ("Ω: β/δ?", "Ω_ β_δ_"),
        ("C:\\data\\a.tif", "C__data_a"),
        ("../../etc/passwd", "_.._etc_passwd"),
        ("line\nbreak", "line_break"),
        ("con", "_con"),
        ("Lpt1.x", "_Lpt1.x"),
        ("console", "console"),
        (" ... ", "image"),
        ("", "image"),
    ],
)
def test_a_name_is_kept_as_far_as_every_system_allows(name, expected):
    assert stem(name) == expected


@pytest.mark.parametrize("name", ["a" * 300, "δ" * 300, "€" * 300 + ".tif", "ab. " * 60])
def test_long_names_are_cut_between_letters(name):
    cut = stem(name)
    assert 90 < len(cut.encode()) <= 100
    assert name.startswith(cut)
    assert cut == cut.strip(" .")


@pytest.mark.parametrize("name", ["nul", "nul.tif", "a.", "COM¹", "aux .x", "x" * 250])
@pytest.mark.parametrize("ending", [LABELS, FRACTIONS, ".alibi"])
def test_names_are_not_reserved_on_windows_with_any_ending(name, ending):
    assert not PureWindowsPath(f"{stem(name)}{ending}").is_reserved()


@pytest.mark.parametrize("name", ["a", "a_labels", "a.tif"])
def test_a_result_lies_beside_its_image_and_never_on_it(name):
    image = Path("folder") / "a_labels.tif"
    proposed = beside(image, name, LABELS)
    assert proposed.parent == image.parent
    assert proposed != image


def test_a_result_of_no_file_has_a_plain_name():
    assert beside(None, "a/b", FRACTIONS) == Path("a_b_fractions.csv")


def test_images_of_one_stem_are_told_apart_by_their_endings():
    names = label_files([Path("in/a.tif"), Path("in/A.png")], Path("out"))
    assert [path.name for path in names.values()] == ["a.tif_labels.tif", "A.png_labels.tif"]
    with pytest.raises(OutputError, match=r"same name, .* an output folder .* of its own"):
        label_files([Path("one/a.tif"), Path("two/A.TIF")], Path("out"))


def test_long_names_that_differ_late_are_told_apart_and_stay_short():
    names = label_files([Path(f"in/{'x' * 150}{number}.tif") for number in range(3)], Path("out"))
    assert len({path.name for path in names.values()}) == 3
    assert max(len(path.name) for path in names.values()) < 130
    with pytest.raises(OutputError, match="same name"):
        label_files([Path(f"{part}/{'x' * 150}.tif") for part in "ab"], Path("out"))

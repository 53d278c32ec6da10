from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mixvel_core.data.pictures import GAP, GREY, grid, is_image, png, save_png
from mixvel_core.errors import UsageError


def test_images_stand_row_after_row_each_pixel_a_square() -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (5, 1, 2, 3), dtype=np.uint8)
    made, opaque = np.moveaxis(np.asarray(grid(images, columns=3, scale=4)), 2, 0)
    height, width = 2 * 4, 3 * 4
    assert made.shape == (GAP + 2 * (height + GAP), GAP + 3 * (width + GAP))
    # Of the sixth cell nothing is seen, not even as grey.
    cell = np.s_[GAP + height + GAP :, GAP + 2 * (width + GAP) :]
    assert not opaque[cell].any()
    assert opaque.sum() == 255 * (opaque.size - opaque[cell].size)
    seen = np.zeros(made.shape, bool)
    for i, image in enumerate(images):
        top, left = GAP + i // 3 * (height + GAP), GAP + i % 3 * (width + GAP)
        place = np.s_[top : top + height, left : left + width]
        assert np.array_equal(made[place], np.kron(image[0], np.ones((4, 4), np.uint8)))
        seen[place] = True
    assert set(made[~seen]) == {GREY}


def test_minus_one_is_black_one_is_white_and_beyond_is_clipped() -> None:
    images = np.array([-1.0, 0.0, 1.0, 9.0], np.float32).reshape(4, 1, 1, 1)
    made = np.asarray(grid(images, columns=4))
    assert made[GAP, GAP :: 1 + GAP].tolist() == [0, 128, 255, 255]


def test_colours_keep_their_order() -> None:
    image = np.array([-1.0, 0.0, 1.0], np.float32).reshape(1, 3, 1, 1)
    made = grid(image, columns=9)
    assert made.mode == "RGB"
    assert made.size == (1 + 2 * GAP, 1 + 2 * GAP)
    assert made.getpixel((GAP, GAP)) == (0, 128, 255)


@pytest.mark.parametrize("shape", [(0, 1, 2, 2), (2, 2, 2, 2), (1, 2, 2), (4, 16)])
def test_what_is_no_row_of_images_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match="is no row of images"):
        grid(np.zeros(shape, np.float32), columns=2)


@pytest.mark.parametrize(("columns", "scale"), [(0, 1), (1, 0)])
def test_columns_and_scale_are_at_least_one(columns: int, scale: int) -> None:
    with pytest.raises(UsageError, match="at least 1"):
        grid(np.zeros((1, 1, 2, 2), np.float32), columns, scale)


def test_knows_pictures_from_other_items() -> None:
    assert [is_image(s) for s in ((1, 8, 8), (3, 4, 4), (2, 4, 4), (16,), (8, 8))] == [True, True, False, False, False]


def test_a_file_holds_the_same_pixels(tmp_path: Path) -> None:
    made = grid(np.random.default_rng(1).uniform(-1, 1, (4, 3, 5, 5)), columns=2, scale=2)
    path = tmp_path / "new" / "grid.png"
    save_png(made, path)
    with Image.open(path) as found:
        assert np.array_equal(np.asarray(found), np.asarray(made))
    assert path.read_bytes() == png(made)
    assert Image.open(io.BytesIO(png(made))).size == made.size

"""The recipe's region of interest as a mask and as cells of the head."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lineside.errors import UsageError
from lineside.normalise.region import combine, region_cells, region_mask, widen

FRAME, WORKING = (640, 480), (128, 96)


def test_no_region_is_everything() -> None:
    """Without a region every pixel counts."""
    mask = region_mask(None, FRAME, WORKING)
    assert mask.shape == (96, 128)
    assert mask.min() == 1.0


def test_a_box_takes_its_share_of_the_picture() -> None:
    """A box that ends on pixel edges is exact: 1 inside, 0 outside."""
    mask = region_mask((0.25, 0.5, 0.75, 1.0), FRAME, WORKING)
    wanted = np.zeros((96, 128), np.float32)
    wanted[48:, 32:96] = 1.0
    assert np.array_equal(mask, wanted)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=4, max_size=4))
def test_a_polygon_has_its_area(shares: list[float]) -> None:
    """The mask's area is the box's, to the quarter pixel at which it is tested, and a box is its own polygon."""
    (x0, x1), (y0, y1) = sorted(shares[:2]), sorted(shares[2:])
    if x1 - x0 < 0.05 or y1 - y0 < 0.05:
        return
    mask = region_mask((x0, y0, x1, y1), FRAME, WORKING)
    width, height = (x1 - x0) * 128, (y1 - y0) * 96
    assert mask.sum() == pytest.approx(width * height, abs=0.25 * (width + height) + 0.1)
    assert np.array_equal(mask, region_mask([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], FRAME, WORKING))


def test_a_concave_polygon_leaves_its_notch_out() -> None:
    """An L is not its hull."""
    corner = [(0.0, 0.0), (1.0, 0.0), (1.0, 0.5), (0.5, 0.5), (0.5, 1.0), (0.0, 1.0)]
    mask = region_mask(corner, FRAME, WORKING)
    assert mask.sum() == 0.75 * 96 * 128
    assert not mask[48:, 64:].any()


@pytest.mark.parametrize("shape", [(480, 640), (240, 320), (480, 640, 3)])
def test_a_mask_image_counts_where_it_is_bright(shape: tuple[int, ...]) -> None:
    """Of any size of the frame's aspect, grey or colour."""
    image = np.zeros(shape, np.uint8)
    image[: shape[0] // 2] = 255
    mask = region_mask(image, FRAME, WORKING)
    assert mask[:48].min() == 1.0
    assert mask[48:].max() == 0.0


@pytest.mark.parametrize(
    ("region", "message"),
    [
        ((0.2, 0.2, 1.2, 0.8), "0 to 1, found 1.2"),
        ([(0.1, 0.1), (0.5, -0.1), (0.5, 0.5)], "0 to 1, found -0.1"),
        ((0.5, 0.2, 0.5, 0.8), "x0 < x1"),
        ([(0.1, 0.1), (0.5, 0.1)], "at least 3 points, found 2"),
        ((0.5, 0.5, 0.501, 0.501), "at least a pixel of the 128×96 px"),
        ([(0.1, 0.1), (0.5, 0.5), (0.9, 0.9)], "at least a pixel"),
        (np.zeros((480, 640), np.uint8), "at least a pixel"),
        (np.full((640, 480), 255, np.uint8), "640×480 px, or of its aspect, found 480×640"),
    ],
)
def test_what_is_no_region_is_refused(region: object, message: str) -> None:
    """The message names the key, what was found and what to do."""
    with pytest.raises(UsageError) as error:
        region_mask(region, FRAME, WORKING)  # type: ignore[arg-type]
    assert error.value.message.startswith("normalise.roi: ")
    assert message in error.value.message


def test_a_cell_counts_from_half() -> None:
    """Of cells of 8 px, those that lie at least half inside."""
    mask = np.zeros((96, 128), np.float32)
    mask[:, :12] = 1.0
    assert region_cells(mask, (12, 16))[0].tolist() == [1.0] * 2 + [0.0] * 14
    mask[:, 11] = 0.0
    assert region_cells(mask, (12, 16))[0].tolist() == [1.0] + [0.0] * 15


def test_a_region_smaller_than_half_a_cell_is_refused() -> None:
    """A region that no patch can see is an error, not a model that sees nothing."""
    with pytest.raises(UsageError, match="16×12 patches"):
        region_cells(region_mask((0.5, 0.5, 0.52, 0.52), FRAME, WORKING), (12, 16))


def test_a_foreground_is_widened_before_it_cuts() -> None:
    """What lies just beyond the part's edge still counts, what lies far from it does not; the region still holds."""
    foreground = np.zeros((96, 128), np.float32)
    foreground[40:60, 40:60] = 1.0
    region = region_mask((0.0, 0.0, 0.5, 1.0), FRAME, WORKING)
    left = combine(region, foreground, margin=0.04)
    assert left[50, 36] == 1.0  # 4 px off the edge; the margin is 5
    assert left[50, 33] == 0.0
    assert left[50, 64] == 0.0  # within the margin, outside the region
    assert np.array_equal(combine(region, None), region)


def test_widening_goes_as_far_in_every_direction() -> None:
    """A point becomes a disc."""
    point = np.zeros((101, 101), np.float32)
    point[50, 50] = 1.0
    y, x = np.nonzero(widen(point, 0.1))
    radius = np.hypot(x - 50, y - 50).max()
    assert radius == pytest.approx(10.0, abs=0.8)
    assert widen(point, 0.0).sum() == 1.0


def test_a_region_beside_the_part_is_refused() -> None:
    """Where region and part have nothing in common, the message names both keys."""
    foreground = np.zeros((96, 128), np.float32)
    foreground[:, 100:] = 1.0
    with pytest.raises(UsageError, match=r"normalise\.roi.*normalise\.foreground"):
        combine(region_mask((0.0, 0.0, 0.3, 1.0), FRAME, WORKING), foreground)
    with pytest.raises(UsageError, match="foreground mask is"):
        combine(foreground, foreground[:50])

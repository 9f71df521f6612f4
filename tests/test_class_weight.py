"""Where a class head looks: the patches that stand out, and masks brought onto the patches."""

import numpy as np
import pytest

from lineside.graph.run import Graph
from lineside.transfer.class_weight import export_class_weight, export_region_weight, mask_cells, weight_reference

EYE = np.eye(3, dtype=np.float32)


@pytest.fixture(scope="module")
def weigh() -> Graph:
    """The exported weights of a grid of 4 × 5 patches."""
    return Graph(export_class_weight((4, 5)))


def test_weights_are_relative_to_the_largest_distance(weigh: Graph) -> None:
    """A defect ten times as bad is looked at in the same place; below half of the peak nothing is."""
    distance = np.array([[0.1, 0.2, 0.5, 1.0, 0.75]], np.float32).repeat(4, 0)[None]
    region = np.ones((1, 1, 4, 5), np.float32)
    weak = weigh({"patch_distance": distance, "region": region})["class_weight"]
    strong = weigh({"patch_distance": 10.0 * distance, "region": region})["class_weight"]
    np.testing.assert_allclose(weak, strong, atol=1e-6)
    np.testing.assert_allclose(weak[0, 0, 0], [0.0, 0.0, 0.0, 1.0, 0.5], atol=1e-6)


def test_the_graph_weighs_like_its_reference(weigh: Graph) -> None:
    """On seeded frames; and where nothing stands out, the region counts."""
    rng = np.random.default_rng(0)
    region = (rng.uniform(size=(3, 1, 4, 5)) > 0.3).astype(np.float32)
    distance = rng.gamma(2.0, 1.0, (3, 4, 5)).astype(np.float32) * region[:, 0]
    distance[2] = 0.0
    found = weigh({"patch_distance": distance, "region": region})["class_weight"]
    for one, expected, inside in zip(found, distance, region, strict=True):
        np.testing.assert_allclose(one[0], weight_reference(expected, inside[0]), atol=1e-6)
    assert (found[2] == region[2]).all()
    assert found.max() == 1.0


def test_sorted_parts_are_looked_at_all_over() -> None:
    """The region, and nothing but it."""
    region = np.array([[0.4, 0.5, 1.0]], np.float32)[None, None].repeat(2, 0)
    found = Graph(export_region_weight((1, 3)))({"region": region})["class_weight"]
    assert found[0, 0].tolist() == [[0.0, 1.0, 1.0]]
    assert (found[1, 0] == weight_reference(None, region[1, 0])).all()


def test_a_mask_lands_on_its_patches() -> None:
    """A quarter of the frame is a quarter of the patches, however large the frame is."""
    mask = np.zeros((200, 400), np.uint8)
    mask[:100, 200:] = 255
    cells = mask_cells(mask, resized(400, 200, 64, 64), (64, 64), (4, 4))
    expected = np.zeros((4, 4))
    expected[:2, 2:] = 1.0
    np.testing.assert_allclose(cells, expected, atol=0.05)


def test_a_mask_moves_with_the_part() -> None:
    """A transform that shifts by one patch shifts the mask by one."""
    mask = np.zeros((64, 64), np.uint8)
    mask[16:32, 16:32] = 1
    shifted = EYE.copy()
    shifted[0, 2] = 16.0
    assert np.argwhere(mask_cells(mask, EYE, (64, 64), (4, 4)) > 0.9).tolist() == [[1, 1]]
    assert np.argwhere(mask_cells(mask, shifted, (64, 64), (4, 4)) > 0.9).tolist() == [[1, 2]]


def test_a_hair_line_is_not_lost() -> None:
    """A scratch one pixel wide in a frame reduced sixteenfold covers a little of its patches, and none beside them."""
    mask = np.zeros((1024, 1024), np.uint8)
    mask[:, 520] = 255
    cells = mask_cells(mask, resized(1024, 1024, 64, 64), (64, 64), (8, 8))
    assert (cells[:, 4] > 0.005).all()
    assert (np.delete(cells, [4], axis=1) == 0).all()


def resized(width: int, height: int, to_width: int, to_height: int) -> np.ndarray:
    """Frame px -> working px, pixel centres at whole numbers."""
    x, y = to_width / width, to_height / height
    return np.array([[x, 0, 0.5 * x - 0.5], [0, y, 0.5 * y - 0.5], [0, 0, 1]], np.float32)

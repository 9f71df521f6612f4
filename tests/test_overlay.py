"""Overlays: where they lie, what their colours mean, and the ring where nothing has colour."""

from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest

from lineside.batch.eye import Seen
from lineside.batch.gallery import pictures_of
from lineside.batch.judge import read_frame
from lineside.batch.overlay import encode_jpeg, mark_peak, mirrored_name, overlay
from tiny import tiny_contract


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("a/b.png", "a/b.png.jpg"),
        ("../../b.png", "@up/@up/b.png.jpg"),
        ("/a/b.png", "@root/a/b.png.jpg"),
        ("@up/b.png", "@@up/b.png.jpg"),
        ("a/../../b.png", "a/@up/@up/b.png.jpg"),
    ],
)
def test_an_overlay_never_leaves_its_folder(path: str, name: str) -> None:
    """Paths are mirrored; what would lead out of the folder is renamed, and renamed paths meet no real ones."""
    assert mirrored_name(Path(path), ".jpg") == name


def test_long_names_stay_apart_and_short_enough() -> None:
    """Two long names that begin alike get two overlay names that a file system takes."""
    first, second = (mirrored_name(Path("é" * 120 + end + ".png"), ".jpg") for end in "ab")
    assert first != second
    assert max(len(name.encode()) for name in (first, second)) < 240


def test_below_the_threshold_the_frame_stays_as_it_was() -> None:
    """Nothing is drawn where the map does not exceed the threshold, however it varies."""
    frame = np.random.default_rng(0).integers(0, 255, (40, 60, 3)).astype(np.uint8)
    heat = np.linspace(0, 20, 64, dtype=np.float32).reshape(8, 8)
    assert (overlay(frame, heat, 20.0) == frame).all()


def test_colour_means_score_and_not_the_images_own_range() -> None:
    """The same score has the same colour on two images of different range; a hotter one is drawn more strongly."""
    frame = np.full((64, 64, 3), 128, np.uint8)
    shared, hot = np.full((8, 8), 30, np.float32), np.full((8, 8), 30, np.float32)
    hot[0, 0] = 1000.0
    assert (overlay(frame, shared, 20.0)[50, 50] == overlay(frame, hot, 20.0)[50, 50]).all()
    centre = [overlay(frame, np.full((8, 8), s, np.float32), 20.0)[32, 32].astype(int) for s in (22, 38)]
    assert abs(centre[1] - 128).sum() > abs(centre[0] - 128).sum() > 0


def test_a_grey_frame_gets_a_coloured_overlay() -> None:
    """One channel in, three out, and the caller's frame is not changed."""
    frame = np.full((32, 48, 1), 80, np.uint8)
    drawn = overlay(frame, np.full((4, 4), 9, np.float32), 1.0)
    assert drawn.shape == (32, 48, 3)
    assert (frame == 80).all()


def test_an_overlay_is_stored_as_red_green_blue() -> None:
    """What is red in memory is red in the file."""
    red = np.zeros((16, 16, 3), np.uint8)
    red[..., 0] = 200
    stored = cv2.imdecode(np.frombuffer(encode_jpeg(red), np.uint8), cv2.IMREAD_COLOR)
    assert stored[8, 8, 2] > 150 > 50 > stored[8, 8, 0]


def test_a_map_below_the_threshold_gets_a_ring_and_a_hot_one_none(tmp_path: Path) -> None:
    """An overlay without colour still says where the model saw most; a coloured one is left alone."""
    path = tmp_path / "frame.png"
    cv2.imwrite(str(path), np.full((64, 64, 3), 128, np.uint8))
    heat = np.zeros((8, 8), np.float32)
    heat[2, 6] = 5.0  # centre of that cell: x 52, y 20

    def overlay_at(threshold: float, map_: np.ndarray) -> np.ndarray:
        read = partial(read_frame, spec=tiny_contract().frame)
        picture = pictures_of([("a", path)], read, lambda *_: Seen(map_), threshold, workers=1)["a"]
        return cv2.imdecode(np.frombuffer(picture.overlay, np.uint8), cv2.IMREAD_GRAYSCALE)

    changed = np.argwhere(np.abs(overlay_at(9.0, heat).astype(int) - 128) > 40)
    assert np.abs(changed.mean(axis=0) - (20, 52)).max() < 1.0
    assert (np.abs(overlay_at(9.0, np.zeros_like(heat)).astype(int) - 128) < 10).all()
    everywhere = np.full((8, 8), 30, np.float32)
    grey = np.full((64, 64, 3), 128, np.uint8)
    assert (mark_peak(grey, everywhere) == grey).all()
    assert (mark_peak(grey, heat) != grey).any()
    assert (grey == 128).all()

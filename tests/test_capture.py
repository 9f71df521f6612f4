"""What comes of files once they are read: frames that cannot change, folders in order, duplicates that are found."""

import os
import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

import images
from lineside.capture.duplicates import CODING_NOISE, level, near_limit, nearest, noise_sigma, same, thumbnail, to_grey
from lineside.capture.folder import image_channels, walk_images
from lineside.capture.frame import Frame
from lineside.errors import FrameError, ImageError

COLOUR = images.picture()
GREY = images.picture(channels=1)


# --- frames and folders


def test_a_frame_cannot_be_written_to() -> None:
    """A frame's pixels are read-only, the array that it was made from is not touched."""
    source = COLOUR.copy()
    frame = Frame(source, "a.png", None, datetime(2026, 1, 1, tzinfo=UTC))
    with pytest.raises(ValueError, match="read-only"):
        frame.image[0, 0, 0] = 1
    assert source.flags.writeable


@pytest.mark.parametrize("image", [COLOUR[:, :, 0], COLOUR.astype(np.float32), COLOUR[:0], COLOUR[:, :, :2]])
def test_a_frame_of_another_shape_is_refused(image: images.Array) -> None:
    """A frame is uint8 [H, W, 1 or 3] and not empty."""
    with pytest.raises(FrameError, match="A frame must be uint8"):
        Frame(image, "a.png", None, None)  # type: ignore[arg-type]


def test_folders_are_walked_in_order_without_hidden_ones(tmp_path: Path) -> None:
    """Images come sorted, files before folders, any case of suffix; hidden and other files are passed over."""
    for name in ("b.PNG", "a.jpeg", "c/d.bmp", "C/e.tif", ".hidden.png", ".git/x.png", "notes.txt", "a.png.part"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = [path.relative_to(tmp_path).as_posix() for path in walk_images(tmp_path)]
    assert found == ["a.jpeg", "b.PNG", "C/e.tif", "c/d.bmp"]


@pytest.mark.skipif(sys.platform == "win32", reason="making links needs a privilege on Windows")
def test_a_loop_of_links_ends(tmp_path: Path) -> None:
    """A link back to a folder above is not followed."""
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x.png").touch()
    os.symlink(tmp_path, tmp_path / "a" / "back", target_is_directory=True)  # noqa: PTH211
    assert [path.name for path in walk_images(tmp_path)] == ["x.png"]


@pytest.mark.skipif(sys.platform == "win32", reason="no pipes with a file name, and links need a privilege")
def test_pipes_are_no_images_and_dangling_links_are(tmp_path: Path) -> None:
    """A pipe, named directly or by a link, would be read for ever; a link to nothing is an image that is missing."""
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "real.png").touch()
    for name, target in (("dangling", "nowhere"), ("linked", "real.png"), ("loop", "loop.png"), ("piped", "pipe.png")):
        (tmp_path / f"{name}.png").symlink_to(target)
    assert [path.name for path in walk_images(tmp_path)] == ["dangling.png", "linked.png", "loop.png", "real.png"]


def test_a_missing_folder_is_an_image_error(tmp_path: Path) -> None:
    """Walking what is not there says so."""
    with pytest.raises(ImageError, match="the folder cannot be read"):
        list(walk_images(tmp_path / "nowhere"))


def test_image_channels_reads_the_header(tmp_path: Path) -> None:
    """The channels of a file are known without decoding it."""
    assert image_channels(images.write(tmp_path / "a.jpg", GREY)) == 1
    assert image_channels(images.write(tmp_path / "b.bmp", GREY)) == 1
    assert image_channels(images.write(tmp_path / "c.tif", COLOUR)) == 3


# --- duplicates


@pytest.mark.parametrize("sigma", [1.0, 3.0, 8.0])
def test_noise_is_measured_within_a_tenth(sigma: float) -> None:
    """White noise of known size on a smooth picture is found again, edges and all."""
    rng = np.random.default_rng(0)
    smooth = np.fromfunction(lambda y, x: 90 + 0.1 * x + 0.1 * y, (400, 400))
    smooth[:, 200:] += 40
    assert noise_sigma((smooth + rng.normal(0, sigma, smooth.shape)).astype(np.float32)) == pytest.approx(
        sigma, rel=0.1
    )


def test_noise_of_a_white_or_tiny_picture_is_zero() -> None:
    """Where there is nothing to measure the noise is 0, not an error."""
    assert noise_sigma(np.full((50, 50), 255, np.float32)) == 0.0
    assert noise_sigma(np.zeros((5, 5), np.float32)) == 0.0


def test_a_frame_of_a_still_scene_lies_below_the_limit_and_a_shifted_one_above() -> None:
    """Two noisy frames of one scene, one darker by a tenth, are near; the scene moved by two pixels is not."""
    rng = np.random.default_rng(1)
    scene = images.picture(3, 320, 320).astype(np.float32)

    def shot(gain: float = 1.0, shift: int = 0) -> np.ndarray:
        noisy = np.roll(scene, shift, axis=1) * gain + rng.normal(0, 3, scene.shape)
        return np.clip(noisy, 0, 255).round().astype(np.uint8)

    shots = [shot(), shot(0.9), shot(1.0, 2)]
    thumbs = level(np.stack([thumbnail(to_grey(image)) for image in shots]))
    limit = near_limit(3.0 / np.sqrt(3), 320 * 320)
    _, distances = nearest(thumbs[:1], thumbs[1:])
    assert distances[0] < limit
    assert distances[1] > 3 * limit


def test_the_limit_is_that_of_two_frames() -> None:
    """Without averaging the limit is sqrt(2) times noise and coding noise together."""
    assert near_limit(3.0, 64 * 64) == pytest.approx(np.sqrt(2 * (9 + CODING_NOISE**2)))


def test_nearest_agrees_with_the_plain_loop() -> None:
    """Block by block gives what comparing each with each gives, over the edge of a block too."""
    rng = np.random.default_rng(2)
    a, b = rng.uniform(0, 255, (530, 6)).astype(np.float32), rng.uniform(0, 255, (520, 6)).astype(np.float32)
    all_distances = np.sqrt(((a[:, None].astype(np.float64) - b[None]) ** 2).mean(axis=2))
    rows, distances = nearest(a, b)
    np.testing.assert_array_equal(rows, all_distances.argmin(axis=0))
    np.testing.assert_allclose(distances, all_distances.min(axis=0), atol=1e-6)
    own = np.sqrt(((a[:, None].astype(np.float64) - a[None]) ** 2).mean(axis=2))
    np.fill_diagonal(own, np.inf)
    np.testing.assert_array_equal(nearest(a, a)[0], own.argmin(axis=0))


def test_nobody_alone_has_a_neighbour() -> None:
    """One thumbnail among itself has no neighbour."""
    one = np.ones((1, 4), np.float32)
    rows, distances = nearest(one, one)
    assert rows.tolist() == [-1]
    assert np.isinf(distances).all()


def test_levelling_leaves_black_pictures_alone() -> None:
    """A gain brings pictures to one mean; a black one has none."""
    thumbs = np.array([[10, 30], [40, 120], [0, 0]], np.float32)
    levelled = level(thumbs)
    np.testing.assert_allclose(levelled[0], levelled[1])
    np.testing.assert_array_equal(levelled[2], 0)


def test_same_finds_sets_of_equal_hashes() -> None:
    """Names that share a hash come together, sorted; others do not come."""
    assert same({"c": "1", "a": "1", "b": "2"}) == (("a", "c"),)

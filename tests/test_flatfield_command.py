"""`lineside flatfield`: the mean of an empty target, judged, written and read again."""

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest

import commands
import images
from lineside.capture.flat_image import LIVE_COUNT, FlatRequest, make_flat, mean_picture, read_flat_image
from lineside.cli import flatfield
from lineside.errors import ImageError, UsageError
from lineside.normalise.evenness import evenness
from lineside.recipe import load_recipe
from test_source_video import FakeCamera, with_camera


def target(seed: int, bits: int = 8, channels: int = 3, structure: float = 0.0) -> images.Array:
    """A picture of an empty target: vignetting of 30 %, noise of 2 grey levels, and print where it is not empty."""
    y, x = np.mgrid[-1:1:48j, -1:1:64j]
    light = 150.0 * (1 - 0.15 * (x**2 + y**2))
    light[20:24, 10:50] *= 1 - structure
    noisy = light[:, :, None] + np.random.default_rng(seed).normal(0, 2, (48, 64, channels))
    top = 2**bits - 1
    return np.clip(noisy / 255 * top, 0, top).round().astype(np.uint8 if bits == 8 else np.uint16)


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Eight pictures of an empty target below the working folder, and four dark ones."""
    monkeypatch.chdir(tmp_path)
    for seed in range(8):
        images.write(Path(f"empty/{seed}.png"), target(seed))
    for seed in range(4):
        images.write(Path(f"dark/{seed}.png"), np.full((48, 64, 3), 4 + seed % 2, np.uint8))
    return Path("empty")


run = partial(commands.run, "flatfield", flatfield.command)


def test_the_image_is_the_mean(empty: Path) -> None:
    """To a 257th of a grey level, in 16 bits, and the sidecar says what it was made from."""
    code, out, _ = run(empty)
    assert code == 0
    assert "the mean of 8 pictures, 64x48" in out
    mean = np.mean([target(seed).astype(float) for seed in range(8)], axis=0)
    assert np.abs(read_flat_image(Path("flat.png"), channels=3) - mean).max() <= 0.5 / 257 + 1e-4
    document = json.loads(Path("flat.json").read_bytes())
    assert (document["source"], document["pictures"], document["even_enough"]) == ("empty", 8, True)
    assert document["falloff"] > 0.1


@pytest.mark.parametrize("name", ["flat.png", "sub dir/a: b.png"])
def test_the_printed_line_is_a_recipe(empty: Path, name: str) -> None:
    """Put into a recipe beside the image, it reads, whatever the name."""
    Path(name).parent.mkdir(exist_ok=True)
    code, out, _ = run(empty, "--out", name, "--dark", "dark")
    assert code == 0
    line = out.splitlines()[-1].strip()
    images.write_recipe(Path(name).parent, line + "\n", images=str(empty.resolve()))
    light = load_recipe(Path(name).parent).recipe.normalise.light
    assert light.flat_field == Path(name).name
    assert light.dark_frame == f"{Path(name).stem}_dark.png"
    assert read_flat_image(Path(name).with_name(light.dark_frame), channels=3).mean() == pytest.approx(4.5, abs=0.01)


def test_an_uneven_target_is_written_and_said(empty: Path) -> None:
    """Exit code 1; the numbers are said in words, and the image is there."""
    for seed in range(8):
        images.write(empty / f"{seed}.png", target(seed, structure=0.5))
    code, out, message = run(empty)
    assert code == 1
    assert "structure of" in out
    assert "was written" in message
    assert Path("flat.png").exists()
    assert json.loads(Path("flat.json").read_bytes())["even_enough"] is False


def test_a_dark_frame_with_light_on_it_is_said(empty: Path) -> None:
    """Exit code 1: the lens was not covered."""
    code, out, _ = run(empty, "--dark", empty)
    assert code == 1
    assert "cover the lens" in out
    assert "even enough for a flat field." not in out


@pytest.mark.parametrize("bits", [10, 12, 16])
@pytest.mark.parametrize("channels", [1, 3])
def test_more_than_eight_bits(tmp_path: Path, bits: int, channels: int) -> None:
    """The image holds the camera's own samples, and is read in grey levels from 0 to 255."""
    for seed in range(3):
        images.write(tmp_path / f"in/{seed}.png", target(seed, bits, channels))
    out = tmp_path / "flat.png"
    make_flat(FlatRequest(str(tmp_path / "in"), out, bit_depth=bits), evenness)
    mean = np.mean([target(seed, bits, channels).astype(float) for seed in range(3)], axis=0) * 255 / (2**bits - 1)
    read = read_flat_image(out, channels=1 if channels == 1 else 3, bit_depth=bits)
    assert np.abs(read - mean).max() <= 0.51 * 255 / (2**bits - 1)


def test_a_plain_picture_serves_too(empty: Path) -> None:
    """An 8-bit picture of the target, and a grey one for colour frames."""
    assert np.array_equal(read_flat_image(empty / "0.png", channels=3), target(0).astype(np.float32))
    images.write(Path("grey.png"), target(0, channels=1))
    assert read_flat_image(Path("grey.png"), channels=3).shape == (48, 64, 3)


def test_a_picture_that_does_not_fit_is_refused(empty: Path) -> None:
    """Colour for grey frames; samples beyond the declared depth."""
    with pytest.raises(ImageError, match="frames are grey"):
        read_flat_image(empty / "0.png", channels=1)
    images.write(Path("deep.png"), target(0, 16))
    with pytest.raises(ImageError, match="12 bits end at 4095"):
        read_flat_image(Path("deep.png"), channels=3, bit_depth=12)


def test_a_camera_gives_sixteen(tmp_path: Path) -> None:
    """A source without an end is asked for a stated number of pictures, or for as many as are wanted."""
    camera = FakeCamera()
    mean = mean_picture("camera:0", FlatRequest("camera:0", tmp_path / "a.png"), with_camera(camera))
    assert (mean.count, camera.given, camera.released) == (LIVE_COUNT, LIVE_COUNT, True)
    assert mean.image[0, 0].tolist() == pytest.approx([8.5, 2, 3])
    few = FlatRequest("camera:0", tmp_path / "a.png", count=3)
    assert mean_picture("camera:0", few, with_camera(FakeCamera())).count == 3


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("absent",), 2, "no such file or folder"),
        (("empty", "--out", "flat.jpg"), 2, "end its name in .png"),
        (("empty", "--out", "there.png"), 2, "is there already"),
        (("empty", "--bit-depth", "9"), 2, "bit depth must be one of"),
        (("empty", "--bit-depth", "12"), 2, "8 bits per sample"),
        (("deep", "--bit-depth", "10"), 2, "above 1023"),
        (("deep",), 2, "16 bits per sample"),
        (("mixed",), 3, "the pictures before it"),
        (("empty", "--dark", "small"), 3, "those of the target"),
        (("broken",), 3, "0.png"),
        (("empty", "--out", "absent/flat.png"), 4, "cannot be written"),
    ],
)
def test_what_makes_no_flat_field(empty: Path, arguments: tuple[str, ...], code: int, words: str) -> None:
    """Each with its exit code, and nothing is written."""
    images.write(Path("there.png"), target(0))
    images.write(Path("deep/0.png"), target(0, 12))
    images.write(Path("mixed/0.png"), target(0))
    images.write(Path("mixed/1.png"), target(0)[:40])
    images.write(Path("small/0.png"), np.zeros((8, 8, 3), np.uint8))
    Path("broken").mkdir()
    Path("broken/0.png").write_bytes(b"broken")
    before = Path("there.png").read_bytes()
    found, _, message = run(*arguments)
    assert found == code
    assert words in message
    assert not list(Path().glob("flat*"))
    assert Path("there.png").read_bytes() == before


def test_force_replaces(empty: Path) -> None:
    """With --force the image that is there is replaced, and its sidecar too."""
    assert run(empty)[0] == 0
    assert run(empty, "--count", 6, "--force")[0] == 0
    assert json.loads(Path("flat.json").read_bytes())["pictures"] == 6


def test_numbers_of_pictures_are_checked(empty: Path) -> None:
    """From a program too."""
    with pytest.raises(UsageError, match="from 1"):
        FlatRequest("empty", Path("a.png"), count=0)


def test_a_flat_field_is_not_written_among_its_own_pictures(tmp_path: Path) -> None:
    """The next average would take it for one of them."""
    (tmp_path / "targets").mkdir()
    with pytest.raises(UsageError, match="lies among the pictures"):
        FlatRequest(source=str(tmp_path / "targets"), out=tmp_path / "targets" / "flat.png")

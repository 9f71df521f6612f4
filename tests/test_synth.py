"""The renderer of synthetic parts and the sample data it made."""

import csv
import hashlib
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from lineside.errors import UsageError
from lineside.synth import DEFECTS, PARTS, Light, Pose, RenderedPart, render
from lineside.synth.dataset import TEST_DEFECT, TEST_GOOD, TRAIN_DEFECT, TRAIN_GOOD, plan, render_planned

SAMPLES = Path(__file__).parent.parent / "sample_data"
EVERY_DEFECT = [(part, defect) for part in PARTS for defect in DEFECTS[part]]
STILL = Light(noise=0.0, blur_px=0.4)
SIZE = {"caps": 192, "weave": 160}


def frame(
    part: str, seed: int, defect: str | None = None, severity: float = 0.5, **exact: Pose | Light
) -> RenderedPart:
    """Render a small frame."""
    pose, light = exact.get("pose"), exact.get("light")
    assert pose is None or isinstance(pose, Pose)
    assert light is None or isinstance(light, Light)
    return render(part, seed, defect, severity, SIZE[part], pose=pose, light=light)


@pytest.mark.parametrize("part", PARTS)
def test_same_seed_gives_the_same_bytes(part: str) -> None:
    """The same arguments give the same picture, mask and truth."""
    defect = DEFECTS[part][0]
    first, second = frame(part, 7, defect), frame(part, 7, defect)
    assert first.image.tobytes() == second.image.tobytes()
    assert first.mask.tobytes() == second.mask.tobytes()
    assert first.pose == second.pose
    assert first.light == second.light


@pytest.mark.parametrize("part", PARTS)
def test_different_seeds_differ(part: str) -> None:
    """Another seed gives another pose, another light and another picture."""
    first, second = frame(part, 7), frame(part, 8)
    assert first.pose != second.pose
    assert first.light != second.light
    assert not np.array_equal(first.image, second.image)


@pytest.mark.parametrize("part", PARTS)
def test_rendering_leaves_the_global_random_state_alone(part: str) -> None:
    """Nothing is drawn from numpy's global generator, and setting it changes nothing."""
    np.random.seed(1)  # noqa: NPY002
    before, first = np.random.get_state()[1].copy(), frame(part, 3)  # noqa: NPY002
    assert np.array_equal(before, np.random.get_state()[1])  # noqa: NPY002
    np.random.seed(2)  # noqa: NPY002
    assert np.array_equal(first.image, frame(part, 3).image)


@pytest.mark.parametrize("part", PARTS)
def test_good_parts_have_an_empty_mask_and_the_promised_arrays(part: str) -> None:
    """A good part is uint8 RGB with a mask of zeros."""
    made = frame(part, 5)
    assert made.image.shape == (SIZE[part], SIZE[part], 3)
    assert made.image.dtype == made.mask.dtype == np.uint8
    assert made.mask.shape == (SIZE[part], SIZE[part])
    assert not made.mask.any()
    assert (made.defect, made.severity) == (None, 0.0)


@pytest.mark.parametrize("severity", [0.0, 0.5, 1.0])
@pytest.mark.parametrize(("part", "defect"), EVERY_DEFECT)
def test_a_defect_changes_the_picture_where_its_mask_is_and_nowhere_else(
    part: str, defect: str, severity: float
) -> None:
    """Inside the mask the picture differs from the good one of the same seed, well outside it does not."""
    good, bad = frame(part, 11, light=STILL), frame(part, 11, defect, severity, light=STILL)
    assert set(np.unique(bad.mask)) == {0, 255}
    change = np.abs(bad.image.astype(int) - good.image.astype(int)).max(axis=2)
    # A defect reaches beyond its mask by the lens blur and by its shadow: 6 % of the frame for a chip, whose missing
    # piece no longer shades the ground and the rim, and for a thread.
    reach = round(0.06 * SIZE[part]) * 2 + 1
    far = cv2.dilate(bad.mask, np.ones((reach, reach), np.uint8)) == 0
    assert change[far].max() <= 2
    assert change[bad.mask > 0].max() >= 8


@pytest.mark.parametrize(("part", "defect"), EVERY_DEFECT)
def test_the_mask_holds_most_of_the_change(part: str, defect: str) -> None:
    """At least three quarters of a strong defect's change lie within 3 pixels of its mask."""
    good, bad = frame(part, 21, light=STILL), frame(part, 21, defect, 0.9, light=STILL)
    change = np.abs(bad.image.astype(float) - good.image).sum(axis=2)
    near = cv2.dilate(bad.mask, np.ones((7, 7), np.uint8)) > 0
    assert change[near].sum() >= 0.75 * change.sum()


@pytest.mark.parametrize(("part", "defect"), EVERY_DEFECT)
def test_severity_makes_a_defect_stronger(part: str, defect: str) -> None:
    """The change summed over the picture grows with the severity."""
    good = frame(part, 31, light=STILL).image.astype(float)
    total = [np.abs(frame(part, 31, defect, s, light=STILL).image - good).sum() for s in (0.0, 0.5, 1.0)]
    assert total[0] < total[1] < total[2]


@pytest.mark.parametrize("part", PARTS)
def test_the_sensor_noise_of_a_bad_part_is_that_of_the_good_one(part: str) -> None:
    """With the light of the seed, noise included, good and bad agree away from the defect."""
    good, bad = frame(part, 41), frame(part, 41, "stain", 0.5)
    far = cv2.dilate(bad.mask, np.ones((25, 25), np.uint8)) == 0
    assert np.array_equal(good.image[far], bad.image[far])


@pytest.mark.parametrize(
    ("part", "turned"),
    [
        ("caps", Pose(137.0, 5.25, -3.5, 1.012)),
        ("caps", Pose(-41.5, -4.0, 6.0, 0.99)),
        ("weave", Pose(3.0, 2.25, -1.5, 1.01)),
    ],
)
def test_the_true_pose_is_true(part: str, turned: Pose) -> None:
    """A picture warped back by its pose lies on the straight one to a fifth of a pixel and of a degree."""
    size = SIZE[part]
    # The lamps do not turn with the part. With the main one straight above, only the weak second one's shading stays
    # behind; it pulls the estimate by up to 0.13 degrees (measured), which the limit allows for.
    light = Light(noise=0.0, blur_px=0.8, elevation_deg=90.0)
    straight = frame(part, 51, light=light, pose=Pose()).image.astype(np.float32).mean(axis=2)
    other = frame(part, 51, light=light, pose=turned).image.astype(np.float32).mean(axis=2)
    back = cv2.warpAffine(other, turned.matrix(size), (size, size), flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP)
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    disc = (np.hypot(x, y) < 0.28 * size).astype(np.uint8)
    stop = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 200, 1e-6)
    start = np.eye(2, 3, dtype=np.float32)
    agreement, rest = cv2.findTransformECC(straight, back, start, cv2.MOTION_EUCLIDEAN, stop, disc, 1)
    centre = np.array([(size - 1) / 2, (size - 1) / 2, 1.0])
    assert agreement > 0.9
    assert abs(np.rad2deg(np.arctan2(rest[1, 0], rest[0, 0]))) < 0.2
    assert np.abs(rest @ centre - centre[:2]).max() < 0.2


def test_angle_zero_has_the_mark_up_and_angles_count_counter_clockwise() -> None:
    """The matrix of +90 degrees takes what was above the centre to its left."""
    size = 101
    above = np.array([50.0, 20.0, 1.0])
    assert Pose(90.0).matrix(size) @ above == pytest.approx([20.0, 50.0])
    assert Pose(0.0, 3.0, -2.0).matrix(size) @ above == pytest.approx([53.0, 18.0])


@pytest.mark.parametrize("part", PARTS)
def test_gain_multiplies_every_pixel(part: str) -> None:
    """Half the gain gives half the grey level, to rounding."""
    full = frame(part, 61, light=Light(noise=0.0)).image.astype(float)
    half = frame(part, 61, light=Light(noise=0.0, gain=0.5)).image.astype(float)
    assert np.abs(half - full / 2).max() <= 0.76


@pytest.mark.parametrize("part", PARTS)
def test_cast_gradient_noise_and_blur_do_what_they_say(part: str) -> None:
    """Each override changes its own quantity by the amount that is given."""
    plain = frame(part, 71, light=Light(noise=0.0)).image.astype(float)
    cast = frame(part, 71, light=Light(noise=0.0, cast_rgb=(0.9, 1.0, 1.0))).image.astype(float)
    assert np.abs(cast[..., 0] - 0.9 * plain[..., 0]).max() <= 1.0
    assert np.array_equal(cast[..., 1:], plain[..., 1:])
    ramp = frame(part, 71, light=Light(noise=0.0, gradient=0.2, gradient_deg=0.0)).image.astype(float)
    quarter = SIZE[part] // 8
    assert ramp[:, -quarter:].sum() / plain[:, -quarter:].sum() == pytest.approx(1.09, abs=0.02)
    assert ramp[:, :quarter].sum() / plain[:, :quarter].sum() == pytest.approx(0.91, abs=0.02)
    noisy = frame(part, 71, light=Light(noise=3.0)).image.astype(float)
    # Noise is 3 at mid grey and less in the dark: 1.64 in the black.
    assert 1.6 < (noisy - plain).std() < 4.0
    blurred = frame(part, 71, light=Light(noise=0.0, blur_px=2.0)).image.astype(float)
    assert np.abs(np.diff(blurred, axis=1)).mean() < 0.7 * np.abs(np.diff(plain, axis=1)).mean()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("bottle", 1), ["'bottle'", "caps, weave"]),
        (("caps", 1, "hole"), ["'hole'", "chipped_edge"]),
        (("weave", 1, "dent"), ["'dent'", "loose_thread"]),
        (("caps", 1, "dent", 1.5), ["0 to 1", "1.5"]),
        (("caps", 1, "dent", float("nan")), ["0 to 1", "nan"]),
        (("caps", 1, None, 0.5, 8), ["64 to 2048", "8"]),
        (("caps", -1), ["0", "-1"]),
    ],
)
def test_what_cannot_be_rendered_is_a_clear_error(arguments: tuple[str, int], words: list[str]) -> None:
    """The error names what was asked for and what there is."""
    with pytest.raises(UsageError) as caught:
        render(*arguments)
    assert all(word in str(caught.value) for word in words)


def test_a_pose_beyond_the_cloth_is_refused() -> None:
    """The weave fills the frame: a pose that would show its edge is an error."""
    with pytest.raises(UsageError, match="6 degrees"):
        frame("weave", 1, pose=Pose(angle_deg=30.0))


def test_the_renderer_imports_no_torch() -> None:
    """The renderer needs numpy and cv2 alone."""
    code = "import sys, lineside.synth; print(sorted({'torch', 'scipy', 'skimage', 'timm'} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=SAMPLES.parent, env=None
    )
    assert done.stdout.strip() == "[]"


def test_the_plan_uses_no_seed_twice() -> None:
    """No picture, of training or test, shares its seed with another."""
    seeds = [item.seed for part in PARTS for item in plan(part)]
    assert len(seeds) == len(set(seeds))


def test_sample_data_matches_its_checksums() -> None:
    """SHA256SUMS lists every file but itself and the README, sorted, with the right hash."""
    lines = (SAMPLES / "SHA256SUMS").read_text().splitlines()
    listed = {path: digest for digest, path in (line.split("  ", 1) for line in lines)}
    present = {p.relative_to(SAMPLES).as_posix() for p in SAMPLES.rglob("*") if p.is_file()}
    assert list(listed) == sorted(listed)
    assert set(listed) == present - {"SHA256SUMS", "README.md"}
    wrong = [
        path for path, digest in listed.items() if hashlib.sha256((SAMPLES / path).read_bytes()).hexdigest() != digest
    ]
    assert wrong == []
    assert sum(p.stat().st_size for p in SAMPLES.rglob("*") if p.is_file()) <= 12_000_000


@pytest.mark.parametrize("part", PARTS)
def test_sample_data_has_the_promised_counts(part: str) -> None:
    """Each folder holds its number of pictures, and each defective picture a mask of its own with something in it."""
    for split, goods, bads in (("train", TRAIN_GOOD, TRAIN_DEFECT), ("test", TEST_GOOD, TEST_DEFECT)):
        assert len(list((SAMPLES / part / split / "good").iterdir())) == goods
        for defect in DEFECTS[part]:
            assert len(list((SAMPLES / part / split / defect).iterdir())) == bads
    for defect in DEFECTS[part]:
        masks = sorted((SAMPLES / part / "ground_truth" / defect).iterdir())
        stems = sorted(p.stem for split in ("train", "test") for p in (SAMPLES / part / split / defect).iterdir())
        assert [p.stem for p in masks] == [f"{stem}_mask" for stem in stems]
        for path in masks:
            assert set(np.unique(cv2.imread(str(path), cv2.IMREAD_UNCHANGED))) == {0, 255}


@pytest.mark.parametrize("part", PARTS)
def test_rendering_again_gives_the_committed_pictures(part: str) -> None:
    """A few committed pictures are rendered again: the masks are equal, the pictures to what a JPEG coder may change.

    JPEG files depend on the version of OpenCV, and the last bit of a float on the processor; so decoded pixels are
    compared, with a mean difference that the coder's own loss explains (measured: 1.3 to 2.6 grey levels).
    """
    truth = {row["path"]: row for row in csv.DictReader((SAMPLES / "truth.csv").read_text().splitlines())}
    for item in list(plan(part))[::29]:
        made = render_planned(item)
        stored = cv2.imread(str(SAMPLES / item.image_path), cv2.IMREAD_COLOR)[..., ::-1]
        assert np.abs(stored.astype(float) - made.image).mean() < 4.0
        again = cv2.imdecode(cv2.imencode(".jpg", made.image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 91])[1], 1)[
            ..., ::-1
        ]
        assert np.abs(stored.astype(float) - again).mean() < 0.5
        assert float(truth[item.image_path]["angle_deg"]) == pytest.approx(made.angle_deg, abs=1e-3)
        if item.defect is not None:
            mask = cv2.imread(str(SAMPLES / item.mask_path), cv2.IMREAD_UNCHANGED)
            assert (mask != made.mask).mean() < 1e-4

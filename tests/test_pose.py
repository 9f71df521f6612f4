"""The pose search: drawn plates and rendered caps in known poses, against their truth, torch against ONNX Runtime."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lineside.graph.onnx_export import export_module
from lineside.normalise.geometry import inverse_3x3, matrix_to_pose
from lineside.normalise.pose import POSE_NUMBERS, PoseFit, PoseSearch, PoseSettings, choose_pose, fit_pose
from lineside.normalise.pose_values import FULL_TURN
from lineside.session import open_session
from pose_parts import SIZE, frames, matrix_of, plate, seen

MARKED = plate(4, mark=True, stretch=0.8)
SIMILARITY = PoseSettings("similarity", (SIZE, SIZE))


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Small products gain nothing from threads, and lose much where cores are shared."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@dataclass(frozen=True)
class Fitted:
    """Good frames, their true matrices [n, 3, 3], and what was fitted on them."""

    small: np.ndarray
    true: np.ndarray
    fit: PoseFit


@pytest.fixture(scope="module")
def marked() -> Fitted:
    """A plate with a mark, ten good frames."""
    small, poses = frames(MARKED, 10, seed=1)
    return Fitted(small, np.stack([matrix_of(pose) for pose in poses]), fit_pose(small, small[0], SIMILARITY, 0))


class OneGraph(nn.Module):
    """The search as the exporter takes it: every input alike."""

    def __init__(self, search: PoseSearch) -> None:
        super().__init__()
        self.search = search

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Return matrix and numbers."""
        return self.search(inputs[0], *inputs[1:])


def find(fit: PoseFit, settings: PoseSettings, small: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return matrices and numbers of frames."""
    values = (torch.from_numpy(value) for value in fit.values.values())
    with torch.no_grad():
        matrix, numbers = PoseSearch(settings)(torch.from_numpy(small)[:, None], *values)
    return matrix.numpy(), numbers.numpy()


def off(found: np.ndarray, true: np.ndarray, fitted: Fitted) -> tuple[np.ndarray, np.ndarray]:
    """Return errors in degrees and px [n] of found matrices: the anchor's true matrix is the golden part's."""
    wanted = torch.from_numpy(true @ np.linalg.inv(fitted.true[0])).float()
    left = matrix_to_pose(torch.matmul(inverse_3x3(wanted), torch.from_numpy(found)), (SIZE, SIZE)).numpy()
    return np.abs(left[:, 0]), np.hypot(left[:, 1], left[:, 2])


def test_parts_are_found_in_any_pose(marked: Fitted) -> None:
    """New frames over the full circle, under uneven light: within 0.5 degrees and half a pixel, and trusted."""
    small, poses = frames(MARKED, 12, seed=2)
    matrix, numbers = find(marked.fit, SIMILARITY, small)
    degrees, pixels = off(matrix, np.stack([matrix_of(pose) for pose in poses]), marked)
    assert degrees.max() < 0.5
    assert pixels.max() < 0.5
    assert numbers[:, POSE_NUMBERS.index("match")].min() > 0.9


def test_the_anchor_has_the_identity_pose(marked: Fitted) -> None:
    """Also when it is none of the good frames."""
    assert np.allclose(marked.fit.matrices[0], np.eye(3), atol=0.02)
    apart = fit_pose(marked.small[1:], marked.small[0], SIMILARITY, 0)
    matrix, _ = find(apart, SIMILARITY, marked.small[:1])
    assert np.allclose(matrix[0], np.eye(3), atol=0.02)


def test_the_same_frames_give_the_same_fit(marked: Fitted) -> None:
    """Every value, bit by bit."""
    again = fit_pose(marked.small, marked.small[0], SIMILARITY, 0)
    for name, value in marked.fit.values.items():
        assert np.array_equal(value, again.values[name]), name


def test_the_golden_part_is_the_anchor_without_its_noise(marked: Fitted) -> None:
    """The aligned mean looks like the anchor frame, and alignment is what makes the good frames alike."""
    inner = slice(20, -20)
    assert np.corrcoef(marked.fit.golden[inner, inner].ravel(), marked.small[0][inner, inner].ravel())[0, 1] > 0.98
    assert marked.fit.spread < 0.2 * marked.fit.spread_unaligned


def test_the_foreground_is_the_part(marked: Fitted) -> None:
    """The plate is inside, the corners of the frame are not, and a part that never moves is all foreground."""
    middle = np.rint(matrix_of(frames(MARKED, 1, seed=1)[1][0]) @ [63.5, 63.5, 1]).astype(int)
    assert marked.fit.foreground[middle[1] - 10 : middle[1] + 10, middle[0] - 10 : middle[0] + 10].min() == 1
    assert marked.fit.foreground[:6, :6].max() == 0
    rng = np.random.default_rng(0)
    still = np.stack([seen(MARKED, np.eye(3), rng) for _ in range(5)])
    assert fit_pose(still, still[0], replace(SIMILARITY, model="shift"), 0).foreground.min() == 1


def test_numbers_tell_a_missing_mark_from_another_part() -> None:
    """Without the mark the rotation is uncertain and the rest holds; another picture does not match at all."""
    square = plate(4, mark=True)
    small, _ = frames(square, 12, seed=3)
    fit = fit_pose(small, small[0], SIMILARITY, 0)
    blank = find(fit, SIMILARITY, frames(plate(4), 8, seed=4)[0])[1]
    stripes = np.tile(np.float32(100 + 60 * np.sin(np.arange(SIZE) / 3)), (1, SIZE, 1))
    other = find(fit, SIMILARITY, stripes)[1]
    assert fit.symmetry == 1
    confidence, match, appearance, rotation = (POSE_NUMBERS.index(name) for name in POSE_NUMBERS)
    good = find(fit, SIMILARITY, frames(square, 8, seed=5)[0])[1]
    assert blank[:, rotation].max() < good[:, rotation].min()
    assert blank[:, [match, appearance]].min() > 0.85
    assert other[:, [confidence, match, appearance]].max() < 0.4


@pytest.mark.parametrize(("corners", "order"), [(4, 4), (6, 6), (0, FULL_TURN)])
def test_symmetry_is_found_and_the_nearest_rotation_taken(corners: int, order: int) -> None:
    """A square looks the same four times in a turn, a hexagon six times, a disc always: no frame turns further."""
    small, _ = frames(plate(corners), 10, seed=6)
    fit = fit_pose(small, small[0], SIMILARITY, 0)
    assert fit.symmetry == order
    turns = np.abs(np.rad2deg(np.arctan2(fit.matrices[:, 0, 1], fit.matrices[:, 0, 0])))
    assert turns.max() <= 180 / order + 5
    assert fit.numbers[:, POSE_NUMBERS.index("rotation")].min() > 0.9


@pytest.mark.parametrize("model", ["shift", "rigid", "similarity"])
def test_a_model_changes_nothing_but_what_it_names(model: str) -> None:
    """Shift never turns, rigid never scales; each finds what it looks for in a limited range."""
    small, poses = frames(MARKED, 8, seed=7, angle_deg=0.0 if model == "shift" else 20.0)
    settings = PoseSettings(model, (SIZE, SIZE), angle_deg=30.0)  # type: ignore[arg-type]
    fit = fit_pose(small, small[0], settings, 0)
    pose = matrix_to_pose(torch.from_numpy(fit.matrices), (SIZE, SIZE)).numpy()
    if model == "shift":
        assert np.abs(pose[:, 0]).max() < 1e-3
    else:
        turns = [p.angle_deg - poses[0].angle_deg for p in poses]
        assert pose[:, 0] == pytest.approx(turns, abs=3.0 if model == "rigid" else 1.0)  # the plates differ in size
    if model == "similarity":
        assert pose[:, 3] == pytest.approx([p.scale / poses[0].scale for p in poses], abs=0.01)
    else:
        assert pose[:, 3] == pytest.approx(1.0, abs=2e-3)


def homographies(count: int, seed: int) -> np.ndarray:
    """Return matrices that tilt, turn by up to 15 degrees and shift a part about the middle of the frame."""
    rng = np.random.default_rng(seed)
    poses = frames(MARKED, count, seed, angle_deg=15.0)[1]
    centre = np.array([[1, 0, 63.5], [0, 1, 63.5], [0, 0, 1]])
    tilts = np.tile(np.eye(3), (count, 1, 1))
    tilts[:, 2, :2] = rng.uniform(-1.2e-3, 1.2e-3, (count, 2))
    return np.stack(
        [matrix_of(pose) @ centre @ tilt @ np.linalg.inv(centre) for pose, tilt in zip(poses, tilts, strict=True)]
    )


def test_a_perspective_is_found() -> None:
    """A tilted plate's corners are placed within a pixel, where a similarity is off by more."""
    true = homographies(12, seed=8)
    true[0] = np.eye(3)
    rng = np.random.default_rng(8)
    small = np.stack([seen(MARKED, matrix, rng) for matrix in true])
    corners = np.array([[30, 35, 1], [97, 35, 1], [97, 92, 1], [30, 92, 1]], float)

    def worst(model: str) -> np.ndarray:
        settings = PoseSettings(model, (SIZE, SIZE), angle_deg=30.0)  # type: ignore[arg-type]
        found = fit_pose(small, small[0], settings, 0).matrices @ corners.T
        wanted = true @ corners.T
        error = found[:, :2] / found[:, 2:] - wanted[:, :2] / wanted[:, 2:]
        return np.asarray(np.median(np.linalg.norm(error, axis=1).max(axis=1)))

    assert worst("perspective") < 1.0
    assert worst("perspective") < 0.6 * worst("similarity")


def test_fiducials_hold_the_perspective() -> None:
    """With the say given to four boxes on the corners, those are placed within a pixel."""
    true = homographies(10, seed=12)
    true[0] = np.eye(3)
    rng = np.random.default_rng(12)
    small = np.stack([seen(MARKED, matrix, rng) for matrix in true])
    corners = np.array([[63.5, 17, 1], [63.5, 110, 1], [26, 63.5, 1], [101, 63.5, 1]])
    marks = tuple((float(x + 0.5) / SIZE, float(y + 0.5) / SIZE) for x, y, _ in corners)
    settings = PoseSettings("perspective", (SIZE, SIZE), angle_deg=30.0, fiducials=marks)
    found = fit_pose(small, small[0], settings, 0).matrices @ corners.T
    wanted = true @ corners.T
    error = np.linalg.norm(found[:, :2] / found[:, 2:] - wanted[:, :2] / wanted[:, 2:], axis=1)
    assert np.median(error) < 1.0


@pytest.mark.parametrize("model", ["shift", "similarity", "perspective"])
def test_the_exported_search_is_that_of_torch(model: str, marked: Fitted) -> None:
    """Matrix and numbers, for one, two and seven frames; two steps each, for every further one is the same again."""
    settings = PoseSettings(model, (SIZE, SIZE), steps_coarse=2, steps_fine=2)  # type: ignore[arg-type]
    fit = fit_pose(marked.small, marked.small[0], settings, 0)
    search = PoseSearch(settings)
    assert tuple(fit.values) == search.value_names
    inputs = {"small": torch.from_numpy(marked.small[:2])[:, None]}
    inputs |= {name: torch.from_numpy(value) for name, value in fit.values.items()}
    model_proto = export_module(OneGraph(search), inputs, ("matrix", "numbers"), {"small": {0: "n"}})
    session = open_session(model_proto.SerializeToString(), "test")
    for count in (1, 2, 7):
        feed = {name: value.numpy() for name, value in inputs.items()} | {"small": marked.small[:count, None]}
        found = session.run(None, feed)
        for one, other in zip(found, find(fit, settings, marked.small[:count]), strict=True):
            assert np.allclose(one, other, atol=2e-3)


def test_a_wide_frame_is_searched_as_well() -> None:
    """A part in a 128×72 frame: its shift comes back."""
    rng = np.random.default_rng(9)
    moves = [np.array([[1, 0, dx], [0, 1, dy], [0, 0, 1]]) for dx, dy in rng.uniform(-8, 8, (6, 2))]
    part = plate(4, mark=True) * np.float32(1.0)
    small = np.stack([seen(part, move, rng)[28:100] for move in moves])
    fit = fit_pose(small, small[0], PoseSettings("shift", (SIZE, 72)), 0)
    wanted = np.stack(moves)[:, :2, 2] - moves[0][:2, 2]
    assert fit.matrices[:, :2, 2] == pytest.approx(wanted, abs=0.3)


def test_auto_and_none_are_no_searches() -> None:
    """They are for the decision alone."""
    with pytest.raises(ValueError, match="auto"):
        PoseSearch(replace(SIMILARITY, model="auto"))


@pytest.mark.parametrize(("model", "words"), [("none", "off"), ("rigid", "rigid")])
def test_what_the_recipe_asks_is_done(model: str, words: str, marked: Fitted) -> None:
    """None fits nothing; a named model is fitted without any doubt."""
    asked = replace(SIMILARITY, model=model)  # type: ignore[arg-type]
    decision = choose_pose(marked.small, marked.small[0], asked, 0)
    assert words in decision.words
    assert (decision.fit is None) == (model == "none")


def test_auto_takes_a_part_and_leaves_a_still_one_alone(marked: Fitted) -> None:
    """A plate all over the frame gets a similarity; in a fixed place nothing is gained, and the words say so."""
    asked = replace(SIMILARITY, model="auto")
    decision = choose_pose(marked.small, marked.small[0], asked, 0)
    assert decision.settings is not None
    assert decision.settings.model == "similarity"
    rng = np.random.default_rng(10)
    still = np.stack([seen(MARKED, np.eye(3), rng) for _ in range(8)])
    decision = choose_pose(still, still[0], asked, 0)
    assert decision.settings is None
    assert "No pose" in decision.words
    assert decision.numbers["unexplained_none"] < 0.1


def test_auto_leaves_a_texture_alone() -> None:
    """Stripes in any place fit each other one stripe further as well."""
    rng = np.random.default_rng(11)
    y, x = np.mgrid[:SIZE, :SIZE]
    cloth = [100 + 40 * np.sin((x + a) / 2.0) * np.sin((y + b) / 2.0) for a, b in rng.uniform(0, 12, (8, 2))]
    small = np.stack(cloth).astype(np.float32) + rng.normal(0, 2, (8, SIZE, SIZE)).astype(np.float32)
    decision = choose_pose(small, small[0], replace(SIMILARITY, model="auto"), 0)
    assert decision.settings is None
    assert decision.fit is None

"""Patches as they are: when places are trusted, in which unit, and what they learn later."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from lineside.transfer.head import HeadShape
from lineside.transfer.head_fit import Choice, fit_best
from lineside.transfer.rows import Rows
from lineside.transfer.sharp import SharpPlace, from_place
from lineside.transfer.sharp_fit import (
    FIXED,
    SharpCounts,
    extended_sharp_place,
    fit_sharp_place,
    fixedness,
    sharp_basis,
)
from lineside.transfer.triangles import Triangles, halved

PLACES, SIZE = 30, 12
SAME = np.random.default_rng(99).standard_normal((PLACES, SIZE))
MIXING = np.random.default_rng(98).standard_normal((SIZE, SIZE)) / 6.0


def patches(frames: int, seed: int, place: float = 1.0) -> np.ndarray:
    """Return patches [n, P, d] that differ by their place, as far as asked for, and otherwise by chance."""
    rng = np.random.default_rng(seed)
    return (place * SAME + rng.standard_normal((frames, PLACES, SIZE)) @ MIXING).astype(np.float32)


def everywhere(made: np.ndarray) -> np.ndarray:
    """Return that every patch counts."""
    return np.ones(made.shape[:2], np.bool_)


def distances(place: SharpPlace, made: np.ndarray) -> np.ndarray:
    """Return distances [n, P] as the graph takes them."""
    basis, *learned = (torch.from_numpy(array) for array in place.arrays)
    return from_place(torch.from_numpy(made) @ basis, *learned).numpy()


def fitted(
    made: np.ndarray, counts: np.ndarray, frames: Sequence[int], parts: Sequence[int]
) -> tuple[SharpPlace, SharpCounts]:
    """Fit places on patches [n, P, d]."""
    basis = sharp_basis(made.shape[2], 0)
    return fit_sharp_place(basis, made @ basis, counts, frames, parts)


def learned(frames: int, seed: int) -> tuple[SharpPlace, SharpCounts, np.ndarray]:
    """Fit places on frames with a slightly different copy of each."""
    own = patches(frames, seed)
    made = np.concatenate((own, own + 0.1 * np.random.default_rng(seed + 50).standard_normal(own.shape)))
    made = made.astype(np.float32)
    return *fitted(made, everywhere(made), *2 * ([*range(frames)] * 2,)), made


def test_fixedness_tells_a_part_that_lies_still_from_a_texture() -> None:
    """It is the share of the differences that places explain, whether of few frames or of many."""
    by_place, by_chance = SAME.var(axis=0).sum(), np.square(MIXING).sum()
    known = by_place / (by_place + by_chance)
    for frames in (4, 40):
        still, texture = patches(frames, 0), patches(frames, 0, place=0.0)
        assert fixedness(still, everywhere(still), range(frames), 0) == pytest.approx(known, abs=0.05)
        assert fixedness(texture, everywhere(texture), range(frames), 0) < 0.1
    few = patches(2, 0)
    assert fixedness(few, everywhere(few), range(2), 0) == 0.0


def test_distances_of_fresh_good_frames_have_one_unit_however_many_were_learned_from() -> None:
    """The mean square of new frames is about 1 with 5 frames as with 40: scores of folds and deployed head compare."""
    fresh = patches(200, 7)
    for frames in (5, 10, 40):
        place, _, _ = learned(frames, 1)
        assert float(np.square(distances(place, fresh)).mean()) == pytest.approx(1.0, abs=0.35)


def test_the_unit_is_what_leaving_each_frame_out_gives() -> None:
    """The closed form equals fitting anew without each frame and its copy."""
    frames = 7
    place, counts, made = learned(frames, 2)
    reduced, squared = made @ place.basis, []
    for frame in range(frames):
        rest = np.arange(2 * frames) % frames != frame
        away = reduced[rest] - reduced[rest].mean(axis=0)
        scatter = np.einsum("npi,npj->pij", away, away) + counts.ridge * (2 * frames - 3) * np.eye(SIZE)
        off = reduced[frame] - reduced[rest].mean(axis=0)
        inverse = np.linalg.inv(scatter / (2 * frames - 3))
        squared.append(np.einsum("pi,pij,pj->p", off, inverse, off).mean())
    assert counts.scale**-2 == pytest.approx(np.mean(squared), rel=1e-5)


def test_places_that_learn_later_are_those_that_learned_at_once() -> None:
    """Extended by five frames, means and covariances are those of all frames, by the first ridge."""
    place, counts, made = learned(8, 3)
    more = patches(5, 4)
    extended, now = extended_sharp_place(place, counts, more, everywhere(more))
    both = np.concatenate((made, more)) @ place.basis
    away = both - both.mean(axis=0)
    covariance = np.einsum("npi,npj->pij", away, away) / (len(both) - 1) + counts.ridge * np.eye(SIZE)
    factors = extended.whitening.astype(np.float64) / now.scale
    assert np.allclose(extended.mean, both.mean(axis=0), atol=1e-5)
    kept = np.linalg.inv(factors @ factors.transpose(0, 2, 1))
    assert np.abs(kept - covariance).max() < 0.02 * covariance.max()  # in steps of a byte
    fresh = patches(20, 8)
    off = fresh @ place.basis - both.mean(axis=0)
    exact = np.sqrt(np.einsum("npi,pij,npj->np", off, np.linalg.inv(covariance), off)) * now.scale
    assert np.abs(distances(extended, fresh) / exact - 1.0).max() < 0.02
    assert (now.rows == 21.0).all()


def test_the_unit_stays_when_places_learn_more() -> None:
    """Ten times the frames make a better covariance, and a fresh good frame's mean square is still about 1."""
    place, counts, _ = learned(5, 6)
    more = patches(50, 7)
    extended, _ = extended_sharp_place(place, counts, more, everywhere(more))
    fresh = patches(200, 8)
    assert float(np.square(distances(extended, fresh)).mean()) == pytest.approx(1.0, abs=0.2)


def test_pictures_of_one_part_are_left_out_together() -> None:
    """Five pictures a part: the unit is that of other parts, not of the next picture of a part that was learned."""
    own = patches(6, 9)
    made = np.repeat(own, 5, axis=0) + 0.02 * np.random.default_rng(1).standard_normal((30, PLACES, SIZE))
    made, parts = made.astype(np.float32), np.repeat(np.arange(6), 5).tolist()
    place, _ = fitted(made, everywhere(made), range(30), parts)
    assert float(np.square(distances(place, patches(200, 10))).mean()) == pytest.approx(1.0, abs=0.5)


def test_rare_places_borrow_and_unseen_ones_say_nothing() -> None:
    """A place that few frames show is as wide as the others; one that none shows has distance 0."""
    made = patches(20, 11)
    counts = everywhere(made)
    counts[2:, 0], counts[:, 1] = False, False
    place, _ = fitted(made, counts, range(20), range(20))
    away = np.sqrt(np.square(distances(place, patches(200, 12))).mean(axis=0))
    assert away[0] == pytest.approx(float(np.median(away)), rel=0.5)
    assert away[1] == 0.0


def test_frames_that_are_all_alike_leave_finite_numbers() -> None:
    """One picture again and again: their own distance is next to nothing, not rounding."""
    made = np.repeat(patches(1, 13), 6, axis=0)
    place, _ = fitted(made, everywhere(made), range(6), range(6))
    assert float(distances(place, made).max()) < 1.0


def test_places_are_used_where_the_part_lies_still_and_the_choice_is_free() -> None:
    """A still part is compared with its places, a texture with the memory; where nothing may be chosen, so is all."""
    shape = HeadShape((SIZE,), ((5, 6),), (24, 20), SIZE, False, 64)

    def fitted(place: float, *, fixed: bool) -> str:
        made = patches(8, 5, place).transpose(0, 2, 1).reshape(8, SIZE, 5, 6)
        fit = fit_best(shape, Rows({0: np.ascontiguousarray(made)}, None, range(8)), 0, Choice(fixed=fixed))
        assert any(f"from {FIXED:.0%} on" in words for words in fit.words) == fixed
        return fit.shape.sharp

    assert (fitted(2.0, fixed=True), fitted(0.0, fixed=True), fitted(2.0, fixed=False)) == (
        "place",
        "leading",
        "leading",
    )


def test_a_bundle_keeps_a_byte_for_most_numbers() -> None:
    """The graph fills in the very factors that the fit computed with: steps of a byte and diagonals of two."""
    place, _, _ = learned(8, 3)
    _, _, diagonal, steps, *_ = place.arrays
    assert (diagonal.dtype, steps.dtype) == (np.float16, np.int8)
    assert steps.shape[1] == SIZE * (SIZE - 1) // 2
    filled = from_place(torch.eye(SIZE)[:, None].expand(-1, PLACES, -1), torch.zeros(PLACES, SIZE), *tensors(place))
    wanted = np.linalg.norm(place.whitening, axis=2).T
    np.testing.assert_allclose(filled.numpy(), wanted, rtol=1e-6)


def tensors(place: SharpPlace) -> list[torch.Tensor]:
    """Return the triangles as the graph is given them."""
    return [torch.from_numpy(array) for array in place.triangles.arrays]


@pytest.mark.parametrize("size", [1, 2, 32])
def test_rounded_triangles_are_near_and_can_be_inverted(size: int) -> None:
    """No number is off by more than a step, of its matrix and of its entry; no diagonal becomes 0."""
    rng = np.random.default_rng(size)
    scales = 10.0 ** rng.uniform(-3, 3, (40, 1, 1)) * 10.0 ** rng.uniform(-2, 2, (size, size))
    lower = np.tril(rng.standard_normal((40, size, size)) * scales)
    lower[:, range(size), range(size)] = np.abs(lower[:, range(size), range(size)]) + 1e-7
    lower[7] = 0.0
    kept = Triangles.rounded(lower)
    whole = kept.whole()
    assert not whole[7].any()
    diagonal = np.diagonal(np.delete(whole, 7, 0), axis1=1, axis2=2)
    wanted = np.diagonal(np.delete(lower, 7, 0), axis1=1, axis2=2).clip(6.103516e-5, 65504)
    np.testing.assert_allclose(diagonal, wanted, rtol=1e-3)
    step = kept.of_matrix[:, None] * kept.of_entry
    rows, columns = np.tril_indices(size, -1)
    assert (np.abs(whole - lower)[:, rows, columns] <= 0.5001 * step).all()


def test_what_is_too_large_for_half_precision_becomes_its_largest() -> None:
    """No number turns into an infinity, which no score could come from."""
    assert halved(np.array([1e9, -1e9, 1.0])).tolist() == [65504.0, -65504.0, 1.0]

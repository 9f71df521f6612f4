"""Adaptation of the trunk: what the maps learn, the contest that they must win, and who has a say in the threshold."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from conftest import Trained, train_part, write_part
from lineside.calibrate.metrics import auroc
from lineside.graph.join import map_outputs
from lineside.graph.run import Graph
from lineside.graph.trunk import export_backbone
from lineside.train.adapting import JUDGED, LEAST, SHARE, adapted_features, divided
from lineside.transfer.adaptation import Patches, averaged, learn_maps, ranking_loss
from lineside.transfer.adaptation_gate import RIGHTED, Scored, Trial, contest
from lineside.transfer.head import head_shape
from lineside.transfer.head_fit import fit_head
from lineside.transfer.rows import Rows, embed_patches

FRAMES, EACH, CHANNELS = 8, 60, 8


def patches(seed: int, *, strange: bool) -> Patches:
    """Good patches vary in the first four channels; strange ones lie a little off in the others."""
    rng = np.random.default_rng(seed)
    spread = np.r_[np.full(4, 3.0), np.full(4, 0.15)].astype(np.float32)
    values = rng.standard_normal((FRAMES * EACH, CHANNELS)).astype(np.float32) * spread
    values[:, 4:] += np.float32(0.6 * strange)
    return Patches((values,), np.repeat(np.arange(FRAMES), EACH))


def told(maps: tuple[np.ndarray, ...]) -> float:
    """AUROC of new strange patches against new good ones, by the distance to the nearest known good patch."""
    known, good, bad = (patches(seed, strange=seed == 13).taps[0] for seed in (11, 12, 13))
    memory = torch.from_numpy(known @ maps[0].T)
    distances = [torch.cdist(torch.from_numpy(x @ maps[0].T), memory).amin(dim=1).tolist() for x in (good, bad)]
    value = auroc(*distances)
    assert value is not None
    return value


def test_maps_turn_away_from_what_varies_among_good_patches() -> None:
    """New strange patches are told from new good ones better than by the features as they were."""
    maps = learn_maps(patches(1, strange=False), patches(2, strange=True), seed=0, steps=60)
    assert told((np.eye(CHANNELS, dtype=np.float32),)) < 0.8
    assert told(maps) > told((np.eye(CHANNELS, dtype=np.float32),)) + 0.1


def test_maps_begin_as_the_identity_and_a_seed_decides_them() -> None:
    """Nothing learnt changes nothing; two runs of a seed agree to the last bit."""
    good, strange = patches(1, strange=False), patches(2, strange=True)
    assert np.array_equal(learn_maps(good, strange, seed=0, steps=0)[0], np.eye(CHANNELS))
    first, again = (learn_maps(good, strange, seed=3, steps=5)[0] for _ in range(2))
    assert np.array_equal(first, again)
    assert not np.allclose(first, np.eye(CHANNELS))


def test_scaling_all_distances_gains_nothing() -> None:
    """The loss depends on ratios of distances alone."""
    good, strange = torch.rand(100) + 0.5, torch.rand(40) + 0.5
    assert float(ranking_loss(7 * good, 7 * strange)) == pytest.approx(float(ranking_loss(good, strange)), rel=1e-5)
    assert float(ranking_loss(good, 3 * strange)) < float(ranking_loss(good, strange))


class TwoTaps(nn.Module):
    """A trunk of two strides."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 3, 2, 1), nn.Conv2d(4, 6, 3, 2, 1)

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Return both taps."""
        first = self.first(x)
        return [first, self.second(first)]


def test_the_exported_trunk_computes_what_was_judged() -> None:
    """The maps in the graph give the features that the contest made from the frozen trunk's."""
    torch.manual_seed(0)
    trunk, rng = TwoTaps().eval(), np.random.default_rng(0)
    maps = tuple(rng.standard_normal((size, size)).astype(np.float32) for size in (4, 6))
    frame = {"working": rng.standard_normal((2, 3, 32, 32)).astype(np.float32)}
    names = ("tap0", "tap1")
    model = export_backbone(trunk, names, (32, 32), None)
    before, after = Graph(model)(frame), Graph(map_outputs(model, dict(zip(names, maps, strict=True))))(frame)
    wanted = adapted_features({i: before[name].astype(np.float32) for i, name in enumerate(names)}, maps)
    for i, name in enumerate(names):
        np.testing.assert_allclose(after[name], wanted[i], rtol=1e-4, atol=1e-4)


def test_averaged_patches_are_those_of_the_head() -> None:
    """Side by side and scaled alike they are the head's embedding without a projection."""
    rng = np.random.default_rng(0)
    features = {0: rng.standard_normal((2, 4, 8, 8)).astype(np.float32), 1: rng.standard_normal((2, 6, 4, 4))}
    features[1] = features[1].astype(np.float32)
    shape = head_shape((4, 6), ((8, 8), (4, 4)), (64, 64), None, 16)
    values = fit_head(shape, Rows(features, None, (0, 1)), 0)
    embedded = embed_patches(shape, features, values.projections, values.offsets)  # [n * P, 10]
    by_hand = np.concatenate([tap.reshape(-1, tap.shape[2]) for tap in averaged([features[0], features[1]], (8, 8))], 1)
    scale = np.r_[np.diag(values.projections[0][:4, :, 0, 0]), np.diag(values.projections[1][4:, :, 0, 0])]
    np.testing.assert_allclose(embedded, by_hand * scale, rtol=1e-4, atol=1e-5)


def trial(count: int = 20, draws: int = 3) -> Trial:
    """Frames in two folds, two kinds of defect on each."""
    source = np.repeat(np.arange(count), 2 * draws)
    return Trial(np.arange(count), source, ("scratch", "stain") * (count * draws), np.arange(count) // (count // 2))


def scored(over: Trial, gap: float, seed: int) -> Scored:
    """Scores whose defects lie `gap` deviations above the good ones."""
    rng = np.random.default_rng(seed)
    return Scored(rng.standard_normal(len(over.frames)), gap + rng.standard_normal(len(over.source)))


def test_a_clear_winner_is_kept() -> None:
    """Far better on all held-out defects: kept, with a gain beyond margin and noise."""
    over = trial()
    outcome = contest(over, scored(over, 0.5, 0), scored(over, 3.0, 1), seed=0)
    assert outcome.kept
    assert outcome.gain > outcome.needed >= RIGHTED * (1 - np.mean(list(outcome.frozen.values())))


def test_an_equal_or_worse_trunk_is_refused() -> None:
    """No gain, no change of the trunk."""
    over = trial()
    same, worse = scored(over, 1.0, 0), scored(over, 0.2, 1)
    assert not contest(over, same, same, seed=0).kept
    assert not contest(over, same, worse, seed=0).kept


def test_a_gain_within_the_noise_of_few_frames_is_refused() -> None:
    """What four frames say is not enough where other frames could have said the opposite."""
    over = trial(count=4, draws=1)
    outcome = contest(over, scored(over, 1.0, 0), scored(over, 1.6, 1), seed=0)
    assert outcome.gain > RIGHTED * (1 - np.mean(list(outcome.frozen.values())))
    assert outcome.needed > outcome.gain
    assert not outcome.kept


def test_a_small_gain_is_refused_however_sure_it_is() -> None:
    """What synthetic defects gain is not what real ones gain: a quarter of the wrong pairs must be put right."""
    over = trial(count=60)
    before = scored(over, 1.0, 0)
    outcome = contest(over, before, Scored(before.good, before.spoiled + 0.15), seed=0)
    assert outcome.gain > 2 * outcome.noise
    assert not outcome.worse
    assert not outcome.kept


def test_a_kind_that_is_told_worse_refuses_the_trunk() -> None:
    """A great gain on one kind does not pay for a loss on another beyond that one's noise."""
    over = trial()
    before, after = scored(over, 1.0, 0), scored(over, 1.0, 0)
    stain = np.array(over.kinds) == "stain"
    traded = Scored(after.good, after.spoiled + np.where(stain, -0.5, 4.0))
    outcome = contest(over, before, traded, seed=0)
    assert outcome.gain > 0
    assert outcome.worse == ("stain",)
    assert not replace(outcome, gain=2 * outcome.needed).kept


def test_drifted_copies_count_as_good_and_their_frame_counts_once() -> None:
    """A trunk that takes drifted frames for defects is refused, and repeats make the noise no smaller."""
    over, plain = trial(), scored(trial(), 2.0, 0)
    drifted = replace(over, frames=np.tile(over.frames, 2), folds=np.tile(over.folds, 2))
    steady = Scored(np.tile(plain.good, 2), plain.spoiled)
    touchy = Scored(np.concatenate((plain.good, plain.good + 5.0)), plain.spoiled + 1.0)
    assert not contest(drifted, steady, touchy, seed=0).kept
    better = scored(over, 3.0, 1)
    once = contest(over, plain, better, seed=0)
    twice = contest(drifted, steady, Scored(np.tile(better.good, 2), better.spoiled), seed=0)
    assert twice.gain == pytest.approx(once.gain)
    assert twice.noise == pytest.approx(once.noise)


def test_auroc_of_the_contest_is_the_plain_one() -> None:
    """In one fold each kind has the AUROC of `metrics.auroc`; over several, only pairs within a fold count."""
    over = replace(trial(), folds=np.zeros(20, np.int64))
    scores, kinds = scored(over, 1.0, 2), np.array(over.kinds)
    outcome = contest(over, scores, scores, seed=0)
    for kind in ("scratch", "stain"):
        plain = auroc(scores.good.tolist(), scores.spoiled[kinds == kind].tolist())
        assert outcome.frozen[kind] == pytest.approx(plain)
    shift = np.where(np.arange(20) < 10, 0.0, 100.0)  # the folds' heads score in units of their own
    apart = Scored(scores.good + shift, scores.spoiled + shift[over.source])
    folded = contest(trial(), apart, apart, seed=0).frozen
    assert folded["scratch"] == pytest.approx(outcome.frozen["scratch"], abs=0.06)


def test_parts_that_teach_never_judge() -> None:
    """A part's frames stay on one side; too few parts, and nothing is learnt from."""
    groups = [f"part{i // 2:02d}" for i in range(60)]
    learn, judge = divided(groups, seed=4)
    assert not {groups[i] for i in learn} & {groups[i] for i in judge}
    assert len(learn) == round(SHARE * 60)
    assert sorted((*learn, *judge)) == list(range(60))
    assert divided([f"part{i}" for i in range(LEAST - 1)], seed=0) == ((), tuple(range(LEAST - 1)))


@pytest.fixture(scope="module")
def adapted(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A part whose adapted trunk is used whatever the contest says."""
    folder = write_part(tmp_path_factory.mktemp("adapted"), goods=LEAST, test_goods=1, test_defects=1)
    recipe = folder / "recipe.yaml"
    recipe.write_text(recipe.read_text().replace("{memory: 128,", "{adapt: try, memory: 64,"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lineside.transfer.adaptation_gate.Outcome.kept", True)
        patch.setattr("lineside.train.adapting_images.DEFECTS", 24)
        return train_part(folder)


@pytest.mark.slow
def test_an_adapted_trunk_is_deployed_and_its_teachers_have_no_say(adapted: Trained) -> None:
    """Parity holds with the maps in the graph, which has one; the threshold stands on the other parts; all is told."""
    record, learnt = adapted.record, round(SHARE * LEAST)
    assert len(adapted.method.seen) == learnt
    assert record.contract.threshold_ng.n == LEAST - learnt
    assert not {adapted.references.samples[i].name for i in adapted.method.seen} & {s.name for s in record.calibration}
    _, weights, maps, _ = record.contract.components
    assert (maps.role, maps.licence) == ("weights", weights.licence)
    assert len(maps.sha256) == 64
    assert maps.sha256 != weights.sha256
    told = json.loads(record.to_json())["adaptation"]
    assert set(told["frozen"]) == set(told["adapted"]) == set(JUDGED)
    assert any("the adapted one is used" in words for words in record.decisions)
    assert record.parity_worst_rel < 1e-3

"""Peers: anomalib's models fitted, exported by its own exporter and timed beside a bundle's graph."""

import io
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console

from commands import invoke
from lineside.bench import peer_images as images_module
from lineside.bench import peers as peers_module
from lineside.bench.peer_fit import _coreset_in_blocks, check_peers, fit_peer, planes
from lineside.bench.peer_images import peer_images
from lineside.bench.peer_table import peer_table
from lineside.bench.peers import PeerTimes, time_peers
from lineside.bench.stages import WHOLE, bench_frame
from lineside.contract import FrameSpec
from lineside.errors import UsageError
from lineside.session import open_session

NETWORK = "test_resnet"
"""timm's smallest ResNet: half a million parameters."""
FRAME_WH = (64, 48)
RGB = FrameSpec(3, 8, "none")


@pytest.fixture(scope="module")
def few() -> Iterator[None]:
    """Four synthetic frames instead of fifty."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(images_module, "GOODS", 4)
        yield


@pytest.fixture(scope="module")
def times(bundle: Path, few: None) -> PeerTimes:
    """The tiny bundle beside two peers with a tiny network of random weights."""
    names = ["anomalib.Patchcore", "anomalib.Padim"]
    return time_peers(bundle, names, backbone=NETWORK, size_wh=FRAME_WH, rounds=5)


def shown(times: PeerTimes) -> str:
    """Return what the console shows."""
    console = Console(width=5000, file=io.StringIO())
    console.print(peer_table(times))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_peers_are_timed_in_the_same_rounds(times: PeerTimes) -> None:
    """Each has its time, its ratio to the whole graph with an interval, and the model's size."""
    assert times.whole.name == WHOLE
    assert [peer.name for peer in times.peers] == [f"anomalib.{name} ({NETWORK})" for name in ("Patchcore", "Padim")]
    for peer in times.peers:
        assert peer.to_whole.value == pytest.approx(peer.timing.median_ms / times.whole.median_ms)
        assert peer.to_whole.interval[0] <= peer.to_whole.value <= peer.to_whole.interval[1]
        assert peer.megabytes > 0.5


def test_random_weights_are_said_and_have_no_auroc(times: PeerTimes) -> None:
    """A score of random weights means nothing, so that column stays blank for all."""
    assert times.auroc is None
    assert [peer.auroc for peer in times.peers] == [None, None]
    assert shown(times).count("random weights, on which time does not depend") == 2


def test_it_says_how_a_peer_was_made_and_exported(times: PeerTimes) -> None:
    """Defaults, memory, who exported it, and the loop without which PatchCore's export refuses a single frame."""
    patchcore, padim = (" ".join(peer.words) for peer in times.peers)
    assert "fitted on 4 good frames at 256×256" in patchcore
    assert "coreset_sampling_ratio 0.1" in patchcore
    assert "memory of 409 × " in patchcore
    assert "without antialiasing" in patchcore
    assert "fixes the batch" in patchcore
    assert "fixes the batch" not in padim
    for words in (patchcore, padim):
        assert words in shown(times)


def test_the_export_says_what_anomalib_says() -> None:
    """The peer's graph on a frame gives the score of anomalib's own module, whose loop is left in."""
    frames = [bench_frame(FRAME_WH, 3, seed) for seed in range(5)]
    (known,) = check_peers(["anomalib.Patchcore"])
    modules: list[torch.nn.Module] = []
    peer = fit_peer(known, NETWORK, frames[:4], FRAME_WH[::-1], keep=modules.append)
    del modules[0].model.nearest_neighbors  # type: ignore[union-attr, operator]
    modules[0].pre_processor.transform = modules[0].pre_processor.export_transform  # type: ignore[union-attr]
    with torch.no_grad():
        wanted = float(modules[0](planes(frames[4])).pred_score)
    session = open_session(peer.model, "a peer")
    score = session.run(["pred_score"], {session.get_inputs()[0].name: planes(frames[4]).numpy()})[0]
    assert float(score.reshape(-1)[0]) == pytest.approx(wanted, rel=1e-4)


def test_the_coreset_follows_anomalibs_rule() -> None:
    """From the same first entry both choose the same entries, in the same order."""
    from anomalib.models.components.sampling.k_center_greedy import KCenterGreedy
    from anomalib.models.image.patchcore import torch_model

    points = torch.from_numpy(np.random.default_rng(0).normal(size=(400, 6)).astype(np.float32))
    with _coreset_in_blocks(3):
        ours = torch_model.KCenterGreedy(points, 0.1)
        ours.model.transform = lambda given: given  # the projection is random: left out on both sides
        chosen = ours.select_coreset_idxs()
    theirs = KCenterGreedy(points, 0.1)
    theirs.model.transform = lambda given: given
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "randint", lambda **_: torch.tensor([chosen[0]]))
        assert chosen == theirs.select_coreset_idxs()


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["anomalib.Patchcor"], "Patchcore"),
        (["anomalib.Dinomaly"], "downloads"),
        (["anomalib.Padim", "Padim"], "different"),
        ([""], "such as"),
    ],
)
def test_peers_that_cannot_be_are_refused(names: list[str], said: str) -> None:
    """Before anything is fitted, with what was expected."""
    with pytest.raises(UsageError, match=said):
        check_peers(names)


def test_an_unknown_backbone_is_refused() -> None:
    """It is no architecture of timm's."""
    with pytest.raises(UsageError, match="--backbone"):
        fit_peer(check_peers(["anomalib.Padim"])[0], "no_such_net", [bench_frame(FRAME_WH, 3)] * 2, FRAME_WH[::-1])


def test_synthetic_frames_have_the_size_and_differ(few: None) -> None:
    """So many frames of the frame's size, none like another."""
    frames = [load() for load in peer_images(None, RGB, FRAME_WH).goods]
    assert [frame.shape for frame in frames] == [(48, 64, 3)] * 4
    assert len({frame.tobytes() for frame in frames}) == 4


def test_a_recipe_gives_good_and_test_images() -> None:
    """Training images of good parts alone are fitted on; test images are told apart by what they show."""
    found = peer_images(Path(__file__).parents[1] / "recipes" / "caps", RGB, FRAME_WH)
    assert (len(found.goods), len(found.test_goods), len(found.test_defects)) == (50, 40, 60)
    assert found.goods[0]().shape == (320, 320, 3)


def test_the_command_writes_the_peers(
    bundle: Path, times: PeerTimes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was asked for is what is timed; names and ratios stand in table and JSON."""
    asked: list[object] = []

    def instead(model: Path, names: list[str], **options: object) -> PeerTimes:
        asked.extend((model, names, options["backbone"], options["size_wh"], options["rounds"]))
        return times

    monkeypatch.setattr(peers_module, "time_peers", instead)
    out = tmp_path / "peers.json"
    words = ["bench", bundle, "--peer", "anomalib.Patchcore,anomalib.Padim", "--backbone", NETWORK, "--frame", "64x48"]
    done = invoke(*words, "--repeat", "5", "--out", out)
    assert done.exit_code == 0, done.output
    assert asked == [bundle, ["anomalib.Patchcore", "anomalib.Padim"], NETWORK, FRAME_WH, 5]
    assert "anomalib.Padim" in done.output
    assert json.loads(out.read_text())["peers"][0]["to_whole"]["value"] > 0


@pytest.mark.parametrize("words", [["--backbone", "lite0"], ["--images", "."], ["--peer", "Padim", "--stages"]])
def test_options_that_do_not_go_together_are_refused(bundle: Path, words: list[str]) -> None:
    """Exit code 2."""
    assert invoke("bench", bundle, *words).exit_code == 2

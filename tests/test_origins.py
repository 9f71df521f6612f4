"""By lot, camera, station and hour: what names, folders and sidecars tell, and what is not taken for an origin."""

import json
from collections.abc import Iterable
from pathlib import Path

import pytest

from lineside.batch.origins import MOST_HOURS, Group, Origin, OriginTaker, told
from lineside.batch.row import Row
from lineside.batch.when import taken_at
from lineside.binomial import clopper_pearson
from lineside.capture.sidecar import read_sidecar
from lineside.report.origins import MOST_SHOWN, origins_section


def row(path: str, verdict: str = "OK") -> Row:
    """Return the row of one image."""
    return Row(path, verdict, 1.0, (), None, 1.0, None)


def origins(paths: Iterable[tuple[str, str]]) -> tuple[Origin, ...]:
    """Take paths and verdicts."""
    taker = OriginTaker()
    for path, verdict in paths:
        taker.add(row(path, verdict), {}, taken_at(Path(path), {}))
    return taker.origins()


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        ("good/LOT-4711_cam2_0001.png", {"lot": ("4711", "file name"), "camera": ("2", "file name")}),
        ("lot_a/station-left/0001.png", {"lot": ("a", "folder"), "station": ("left", "folder")}),
        ("batch7/x_batch8.png", {"lot": ("8", "file name")}),
        ("line3/camera_20260301T071530.png", {"station": ("3", "folder")}),
        ("slot-4/cambridge_1/pilot-7/inline_2.png", {}),
        ("good/0001.png", {}),
    ],
)
def test_words_before_values_name_the_origin(path: str, wanted: dict[str, tuple[str, str]]) -> None:
    """The name goes before its folders; a time is no camera, and words that only end alike are none."""
    assert told(Path(path), {}) == wanted


def test_a_sidecar_goes_before_the_name(tmp_path: Path) -> None:
    """Keys of the same words count, and the source of `lineside capture` is the camera; other files are no matter."""
    picture = tmp_path / "lot-1_0001.png"
    picture.with_suffix(".json").write_text(json.dumps({"lot": 77, "source": "camera:0", "time": "x", "line": None}))
    assert told(picture, read_sidecar(picture)) == {"lot": ("77", "sidecar"), "camera": ("camera:0", "sidecar")}
    picture.with_suffix(".json").write_text("[1]")
    assert told(picture, read_sidecar(picture)) == {"lot": ("1", "file name")}


def test_images_are_counted_by_origin() -> None:
    """cam2 stands before cam10; what got no call is read and not called; images that nothing tells are in no group."""
    paths = [("cam10/1.png", "OK"), ("cam10/2.png", "NG"), ("cam2/1.png", "OK"), ("cam2/2.png", "NO_CALL"), ("x", "OK")]
    wanted = (Group("2", 2, 1, 1, 0), Group("10", 2, 2, 1, 1))
    assert origins(paths) == (Origin("camera", ("folder",), wanted, 1),)


def test_one_group_or_a_running_number_is_no_comparison() -> None:
    """A single camera says nothing of cameras, and a value of its own in every name is no lot."""
    assert origins([("cam1/1.png", "OK"), ("cam1/2.png", "OK")]) == ()
    assert origins([(f"lot_{i:06}.png", "OK") for i in range(50)]) == ()


def test_many_hours_become_days() -> None:
    """Hours are told apart as long as they are few, then days."""
    few, many = (
        [(f"2026-03-{1 + h // 24:02}_{h % 24:02}-00-{s:02}.png", "OK") for h in range(hours) for s in (0, 1)]
        for hours in (3, MOST_HOURS + 1)
    )
    assert [(o.kind, o.groups[0].name, len(o.groups)) for o in origins(few)] == [("hour", "2026-03-01 00:00", 3)]
    assert [(o.kind, o.groups[0].name, len(o.groups)) for o in origins(many)] == [("day", "2026-03-01", 3)]


def test_the_page_shows_exact_intervals_and_the_worst_of_many() -> None:
    """Each rate stands beside its Clopper-Pearson interval; of very many groups those with most rejects are shown."""
    low, high = clopper_pearson(3, 8)
    page = str(
        origins_section(
            (Origin("lot", ("folder",), (Group("a", 9, 8, 5, 3), Group("b", 4, 4, 4, 0)), 0),), of_good=False
        )
    )
    assert "37.5 %" in page
    assert f"{100 * low:.1f} to {100 * high:.1f} %" in page
    groups = tuple(Group(f"g{i}", 10, 10, 10 - i % 9, i % 9) for i in range(MOST_SHOWN + 20))
    page = str(origins_section((Origin("lot", ("folder",), groups, 0),), of_good=False))
    assert "too narrow" not in page
    by_part = str(origins_section((Origin("lot", ("folder",), groups, 0),), of_good=False, grouped=True))
    assert "Each image of a part counts here, so that with several of them the intervals are too narrow." in by_part
    assert page.count("<tr>") == 1 + MOST_SHOWN
    assert ">g0<" not in page

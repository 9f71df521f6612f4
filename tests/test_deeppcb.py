"""The recipe folders made from DeepPCB: what is called defective, and that nothing crosses the split."""

from pathlib import Path

from deeppcb import Box, write_kinds, write_tiles
from lineside.dataset import load_dataset
from lineside.recipe import load_recipe


def test_the_share_of_a_box_in_a_tile() -> None:
    """Half in is a half, beside it nothing, touching nothing."""
    box = Box((120, 0, 136, 10), "open")
    assert [box.share_in(x, 0, 128) for x in (0, 128, 256)] == [0.5, 0.5, 0.0]
    assert Box((128, 0, 136, 10), "open").share_in(0, 0, 128) == 0.0


def test_tiles_with_a_box_are_defective_and_marked(real_data: Path, tmp_path: Path) -> None:
    """Every defective tile has its mask; references share no place with them, or all of them."""
    counts = write_tiles(real_data, tmp_path / "other", same=False, places=2, tile=320)
    write_tiles(real_data, tmp_path / "same", same=True, places=2, tile=320)
    assert counts["train/good"] == 8
    assert counts["test/good"] + counts["test/defect"] == 8
    for name, shared in (("other", 0), ("same", 2)):
        dataset = load_dataset(load_recipe(tmp_path / name))
        assert all(s.mask is not None for s in dataset.samples if not s.is_good)
        places = [{s.path.name.split("_")[0] for s in dataset.select(side)} for side in ("train", "test")]
        assert len(places[0] & places[1]) == shared


def test_crops_to_train_and_to_test_are_of_different_images(real_data: Path, tmp_path: Path) -> None:
    """Six kinds on both sides, in as many crops as asked for, and no image gives to both."""
    counts = write_kinds(real_data, tmp_path / "kinds", train=2, test=3)
    assert sorted(counts.values()) == [2] * 6 + [3] * 6
    names = {side: {p.name.split("_")[0] for p in (tmp_path / "kinds/images" / side).rglob("*.png")}
             for side in ("train", "test")}  # fmt: skip
    assert not names["train"] & names["test"]

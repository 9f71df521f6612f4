"""What `lineside check` says of pictures that stand twice, and of those that are alike; training acts on the same."""

from collections.abc import Mapping

import numpy as np

from lineside.capture import duplicates
from lineside.capture.copies import Copies, CopyPair, Look, near_limit_of
from lineside.capture.duplicates import NearPair
from lineside.capture.findings import Likeness, Probe, Problem
from lineside.dataset import Dataset


def copy_problems(dataset: Dataset, probes: Mapping[str, Probe]) -> list[Problem]:
    """Report pictures that stand twice: across the split, under two labels, or twice on one side."""
    by_name = {s.name: s for s in dataset.samples}
    across, labels, within = [], [], []
    for names in duplicates.same({name: p.pixel_sha256 for name, p in probes.items()}):
        kind = "same file" if len({probes[n].file_sha256 for n in names}) == 1 else "same pixels"
        line = f"{' = '.join(names)} ({kind})"
        if len({by_name[n].label for n in names}) > 1:
            labels.append(line)
        if len({by_name[n].split for n in names}) > 1:
            across.append(line)
        elif by_name[names[0]].split == "train":
            within.append(line)
    found = (
        ("the same picture under two labels; one of them is wrong", labels),
        ("the same picture in train and in test: it says nothing about new parts, and is not tested on", across),
        ("the same picture twice in train: it counts as one part", within),
    )
    return [Problem("warning", text, tuple(lines)) for text, lines in found if lines]


def likeness_of(dataset: Dataset, looks: Mapping[str, Look], copies: Copies) -> Likeness | None:
    """Return how alike the images are; None where the noise of none was measured."""
    sigmas = [look.sigma for look in looks.values() if look.sigma is not None]
    if not sigmas:
        return None
    goods = [s.name for s in dataset.select("train", good=True) if s.name in looks]
    typical = None
    if len(goods) > 1:
        thumbs = duplicates.level(np.stack([looks[name].thumb for name in goods]))
        typical = float(np.median(duplicates.nearest(thumbs, thumbs)[1]))
    near = tuple(NearPair(p.first.name, p.second.name, p.distance) for p in copies.pairs if not p.exact)
    limit = near_limit_of(looks.values())
    return Likeness(float(np.median(sigmas)), limit, typical, near, copies.unsure)


def near_problems(copies: Copies, likeness: Likeness | None) -> list[Problem]:
    """Report near copies that stand out, and pictures that lie as close without standing out."""
    if likeness is None:
        return []
    typical = likeness.typical_distance
    beside = "" if typical is None else f"; a good image's nearest neighbour is typically {typical:.2f} away"
    less = f"that differ by less than camera noise (limit {likeness.near_limit:.2f} grey levels{beside})"
    near = [p for p in copies.pairs if not p.exact]
    found = (
        ([p for p in near if not p.across], f"pictures {less}: they count as one part"),
        (
            [p for p in near if p.across and p.same_label],
            f"pictures in train and in test {less}: copies, or frames of one part, which are not tested on",
        ),
        (
            [p for p in near if p.across and not p.same_label],
            f"pictures in train and in test {less} under two labels: they are tested on. Look at them",
        ),
    )
    problems = [Problem("warning", text, tuple(map(_named, pairs))) for pairs, text in found if pairs]
    if copies.unsure:
        text = (
            f"pictures {less}, though others are nearly as close: parts in a fixture are alike by nature, so they are "
            "taken for different ones. Frames of one part need capture.group"
        )
        problems.append(Problem("warning", text, copies.unsure))
    return problems


def _named(pair: CopyPair) -> str:
    return f"{pair.first.name} ~ {pair.second.name} ({pair.distance:.2f})"

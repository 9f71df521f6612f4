"""What `calibrate` says where the recipe's pattern does not tell the parts of new images."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from lineside.export.known_images import KnownImages
from lineside.train.line_calibrate import parts_unknown

KNOWN = KnownImages({}, {}, frozenset(), r"^(?P<part>p\d+)_", None, frozenset())


def shots(*names: str) -> Any:
    """New images of these names."""
    return [SimpleNamespace(path=Path(name)) for name in names]


def test_images_that_the_pattern_does_not_fit_are_counted_in_words() -> None:
    """Each counts as a part; where the pattern fits all, or there is none, there is nothing to say."""
    assert "does not fit the names of 2 of 3 images" in parts_unknown(KNOWN, shots("p1_a.png", "x.png", "y.png"))
    assert parts_unknown(KNOWN, shots("p1_a.png", "p2_a.png")) == ""
    assert parts_unknown(KnownImages({}, {}, frozenset(), None, None, frozenset()), shots("x.png")) == ""

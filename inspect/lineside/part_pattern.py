"""Which physical part an image shows, read from its file's name by the recipe's pattern `capture.group`.

Training, inspection and evaluation read names by this one rule, so that a part is the same part everywhere.
"""

import re
from collections.abc import Callable, Iterable
from pathlib import Path


def grouping(expression: str | None) -> Callable[[Path, str], str]:
    """Return the function from (path, name) to the physical part; its name alone where the pattern does not fit.

    Parameters
    ----------
    expression : str or None
        `capture.group`: a regular expression on file names; its group ``part``, else its first, else all of it.
    """
    pattern = re.compile(expression) if expression else None

    def part(path: Path, name: str) -> str:
        match = pattern.search(path.name) if pattern else None
        if match is None or pattern is None:
            return name
        wanted: str | int = "part" if "part" in pattern.groupindex else min(1, pattern.groups)
        return match.group(wanted) or name

    return part


def fits_none(expression: str, paths: Iterable[Path]) -> str:
    """Return a file name where a pattern of `grouping` names the part of no file; nothing where it does, or none is."""
    pattern, example = re.compile(expression), ""
    for path in paths:
        if pattern.search(path.name):
            return ""
        example = example or path.name
    return example

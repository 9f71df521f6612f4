"""Which lineside this is, to the letter: a hash of its own sources.

A version number says too little while sources change under it: what was computed by other sources must not be taken for
what these would compute.
"""

import functools
import hashlib
from pathlib import Path

import lineside


@functools.cache
def program_sha256(but: tuple[str, ...] = ()) -> str:
    """Return the first 12 digits of the SHA-256 of lineside's own sources.

    Parameters
    ----------
    but : tuple of str
        Rooms (folders in ``lineside/``) whose sources have no say.
    """
    total = hashlib.sha256()
    root = Path(lineside.__file__).parent
    for path in sorted(root.rglob("*.py")):
        place = path.relative_to(root)
        if place.parts[0] not in but:
            total.update(place.as_posix().encode() + b"\0" + path.read_bytes())
    return total.hexdigest()[:12]

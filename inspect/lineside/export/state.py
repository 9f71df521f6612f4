"""state.npz: what a bundle remembers of its training beyond the graph, so that it can follow the line later.

Arrays alone, by name; numpy writes and reads them, and nothing is unpickled. It is no part of the model: inspection
never opens it, and a bundle without it judges as well, but cannot be adapted or extended.
"""

import io
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lineside.errors import BundleError
from lineside.export.bundle_files import read_listed

Array = npt.NDArray[np.generic]
STATE_FILE = "state.npz"
MAX_UNPACKED_BYTES = 2**28
"""Of all arrays together; those of the sample parts take less than 1 MB."""
_BROKEN = (zipfile.BadZipFile, zlib.error, ValueError, OSError, EOFError, KeyError, MemoryError, RuntimeError)
"""What zipfile and numpy raise where bytes were changed; the last where a password or unknown method is asked for."""


def pack_state(arrays: Mapping[str, Array]) -> bytes:
    """Return the arrays as the content of ``state.npz``: the same bytes for the same arrays.

    Raises
    ------
    ValueError
        When an array holds Python objects, which could not be read back without unpickling.
    """
    for name, array in arrays.items():
        if array.dtype.hasobject:
            raise ValueError(f"{name}: arrays of objects cannot be stored")
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name in sorted(arrays):
            entry = zipfile.ZipInfo(f"{name}.npy")  # of no time: the same arrays give the same bytes
            entry.compress_type = zipfile.ZIP_DEFLATED
            with archive.open(entry, "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.asarray(arrays[name]), allow_pickle=False)
    return content.getvalue()


def unpack_state(content: bytes, where: str) -> dict[str, Array]:
    """Read the arrays of a ``state.npz``.

    Raises
    ------
    BundleError
        When it is no such file, holds what only unpickling would read, or unpacks to more than `MAX_UNPACKED_BYTES`.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
        if size > MAX_UNPACKED_BYTES:
            raise ValueError(f"it unpacks to {size} bytes, the limit is {MAX_UNPACKED_BYTES}")
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except _BROKEN as error:
        raise BundleError(f"{where}: cannot be read as arrays ({error}). Copy the bundle again.") from None


def read_state(folder: Path, name: str = STATE_FILE) -> dict[str, Array]:
    """Read a bundle's state, or another file of arrays, as it was written.

    Raises
    ------
    BundleError
        When the bundle holds none, it was altered, or it cannot be read.
    StorageError
        When the disk refuses.
    """
    return unpack_state(read_listed(folder, name, MAX_UNPACKED_BYTES), str(folder / name))

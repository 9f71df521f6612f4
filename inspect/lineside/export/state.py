"""state.npz: what a bundle remembers of its training beyond the graph, so that it can follow the line later.

Arrays alone, by name; numpy writes and reads them, and nothing is unpickled. It is no part of the model: inspection
never opens it, and a bundle without it judges as well, but cannot be adapted or extended.
"""

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lineside.errors import BundleError, StorageError

Array = npt.NDArray[np.generic]
STATE_FILE = "state.npz"


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
        When it is no such file, or holds what only unpickling would read.
    """
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (ValueError, OSError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise BundleError(f"{where}: cannot be read as arrays ({error}). Copy the bundle again.") from None


def read_state(folder: Path) -> dict[str, Array]:
    """Read a bundle's state.

    Raises
    ------
    BundleError
        When the bundle holds none, or it cannot be read.
    StorageError
        When the disk refuses.
    """
    file = folder / STATE_FILE
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        raise BundleError(
            f"{file}: missing, so the bundle cannot follow the line. Train it again: every training writes it."
        ) from None
    except OSError as error:
        raise StorageError(f"{file}: cannot be read ({error.strerror}).") from None
    return unpack_state(content, str(file))

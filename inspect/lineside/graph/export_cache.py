"""Exported graphs kept for the next run: torch's exporter takes longer than everything that is fitted on few images.

A graph is found again by a hash of all that it is made from: lineside's sources, the versions of what exports, the
module's structure and every number in it, names, shapes and dynamic sizes. So nothing kept can be out of date, and the
bytes are those that an export would give. The folder may be lost, damaged or read-only at any time; then modules are
exported as if there were none. Rejected: joblib's Memory, which unpickles what it finds; torch's own caches, which
hold compiled kernels and no exports.
"""

import contextlib
import functools
import hashlib
import os
import platform
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from lineside import __version__
from lineside.program import program_sha256

if TYPE_CHECKING:
    import onnx
    import torch

CACHE_VARIABLE = "LINESIDE_CACHE"
"""Of the environment: another folder, or ``off``."""
MOST_BYTES = 256_000_000
"""Of all files; beyond, those go first that were used longest ago. A larger graph is not kept at all."""
MOST_IN_MEMORY, LARGEST_IN_MEMORY = 64, 1_000_000
"""Graphs that a process remembers, and bytes of each: heads that every fold needs, also where nothing is written."""
ROOMS_BEHIND = ("train", "runtime", "batch", "report", "bench", "cli", "examples")
"""Rooms that no exported module imports."""
EXPORTERS = ("torch", "torchvision", "onnx", "onnxscript", "onnx-ir", "numpy", "timm", "open_clip_torch")
_DIGEST_SIZE = 32

_SOURCES = program_sha256(ROOMS_BEHIND)
"""As they were when this module was loaded: edited later, they are not what runs."""
_remembered: dict[str, bytes] = {}


def cached(identity: str, export: "Callable[[], onnx.ModelProto]") -> "onnx.ModelProto":
    """Return the graph of this identity: as it was kept, or exported now and kept.

    Parameters
    ----------
    identity : str
        Of `export_sha256`.
    export : callable
    """
    import onnx

    body = _remembered.get(identity) or _read(identity)
    if body is not None:
        _remember(identity, body)
        kept: onnx.ModelProto = onnx.ModelProto.FromString(body)
        return kept
    model = export()
    if model.ByteSize() <= MOST_BYTES:
        body = model.SerializeToString()
        _remember(identity, body)
        _write(identity, body)
    return model


def is_kept(identity: str) -> bool:
    """Return whether a graph of this identity is remembered, or lies in the folder as far as its name says."""
    folder = cache_folder()
    return identity in _remembered or (folder is not None and _file(folder, identity).is_file())


def forget() -> None:
    """Forget what this process remembers; what lies in the folder stays."""
    _remembered.clear()


def export_sha256(
    key: str,
    module: "torch.nn.Module",
    inputs: "Mapping[str, torch.Tensor]",
    outputs: Sequence[str],
    dynamic: Mapping[str, Mapping[int, str]],
) -> str:
    """Hash everything that an export depends on; parameters as of `lineside.graph.onnx_export.export_module`."""
    total = hashlib.sha256(known_sha256(key, inputs, outputs, dynamic).encode())
    parts = [(name, f"{type(part).__module__}.{type(part).__qualname__}") for name, part in module.named_modules()]
    total.update(repr((parts, repr(module))).encode())
    named = (*module.named_parameters(remove_duplicate=False), *module.named_buffers(remove_duplicate=False))
    for name, tensor in named:  # state_dict would leave out buffers that are not persistent
        total.update(repr((name, str(tensor.dtype), tuple(tensor.shape))).encode())
        total.update(_content(tensor))
    return total.hexdigest()


def known_sha256(
    key: str,
    inputs: "Mapping[str, torch.Tensor]",
    outputs: Sequence[str],
    dynamic: Mapping[str, Mapping[int, str]],
) -> str:
    """Hash what an export depends on besides the module; all of it where the key names the module's numbers too."""
    examples = [(name, str(tensor.dtype), tuple(tensor.shape)) for name, tensor in inputs.items()]
    axes = [(name, sorted(named.items())) for name, named in sorted(dynamic.items())]
    return hashlib.sha256(repr((_program(), key, examples, list(outputs), axes)).encode()).hexdigest()


def cache_folder() -> Path | None:
    """Return the folder of the kept graphs, whether it is there or not; None: nothing is to be kept."""
    wish = os.environ.get(CACHE_VARIABLE, "")
    if wish.lower() == "off":
        return None
    try:
        return (Path(wish).expanduser() if wish else _users_folder()) / "exports"
    except RuntimeError:  # there is no home
        return None


def _users_folder() -> Path:
    if sys.platform == "win32":
        local = os.environ.get("LOCALAPPDATA")
        return (Path(local) if local else Path.home() / "AppData" / "Local") / "lineside" / "Cache"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "lineside"
    xdg = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(xdg) if os.path.isabs(xdg) else Path.home() / ".cache") / "lineside"  # noqa: PTH117 -- "" is none


@functools.cache
def _program() -> tuple[str, ...]:
    """Everything about this installation that has a say in an export."""
    found = [__version__, _SOURCES, platform.python_version(), platform.machine()]
    for package in EXPORTERS:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            found.append(f"no {package}")
    return tuple(found)


def _content(tensor: "torch.Tensor") -> memoryview:
    import torch

    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data


def _remember(identity: str, body: bytes) -> None:
    if len(body) > LARGEST_IN_MEMORY or identity in _remembered:
        return
    if len(_remembered) >= MOST_IN_MEMORY:
        _remembered.pop(next(iter(_remembered)))
    _remembered[identity] = body


def _file(folder: Path, identity: str) -> Path:
    return folder / f"{identity}.graph"


def _digest(identity: str, body: bytes) -> bytes:
    return hashlib.sha256(identity.encode() + body).digest()


def _read(identity: str) -> bytes | None:
    """Return a graph as it was written, or None where there is none or it was damaged."""
    folder = cache_folder()
    if folder is None:
        return None
    path = _file(folder, identity)
    try:
        content = path.read_bytes()
    except OSError:
        return None
    body = content[_DIGEST_SIZE:]
    if content[:_DIGEST_SIZE] != _digest(identity, body):
        return None
    with contextlib.suppress(OSError):  # a folder that may only be read still serves
        os.utime(path)  # used now: it goes last
    return body


def _write(identity: str, body: bytes) -> None:
    """Keep a graph; where that fails, the next run exports again, and that is all."""
    folder = cache_folder()
    if folder is None:
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _move_in(_file(folder, identity), _digest(identity, body) + body)
        _bound(folder)
    except OSError:
        return


def _move_in(path: Path, content: bytes) -> None:
    """Write beside `path`, then move; under a name of its own, since two processes may keep one graph at once."""
    handle, partial = tempfile.mkstemp(prefix=".", suffix=".part", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.replace(partial, path)  # noqa: PTH105 -- the very call that is atomic
    except BaseException:
        Path(partial).unlink(missing_ok=True)
        raise


def _bound(folder: Path) -> None:
    """Remove what was used longest ago, until the rest is small enough; parts of writers that were killed among it."""
    files = [(path, path.stat()) for path in folder.iterdir() if path.suffix in (".graph", ".part")]
    total = sum(stat.st_size for _, stat in files)
    for path, stat in sorted(files, key=lambda item: item[1].st_mtime):
        if total <= MOST_BYTES:
            return
        path.unlink(missing_ok=True)
        total -= stat.st_size

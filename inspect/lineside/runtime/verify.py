"""Proving a bundle on the machine that will run it: every file as it was written, every vector as it was recorded."""

from dataclasses import dataclass
from pathlib import Path

from lineside.errors import BundleError, UsageError
from lineside.export.bundle_files import check_files, read_sums
from lineside.export.recorded import Vector, read_recorded
from lineside.runtime.inspector import Inspector


@dataclass(frozen=True)
class Verification:
    """What was proven."""

    path: Path
    part: str
    contract_version: str
    model_sha256: str
    files: int
    vectors: int
    worst_score_rel: float
    tells_swapped_channels: bool
    """Whether a vector would have shown that red and blue were swapped."""
    signed_by: str | None
    """Name of the key whose signature was checked; None where none was asked for."""


def verify_bundle(path: str | Path, *, require_key: str | Path | None = None) -> Verification:
    """Check every file of a bundle, its contract, and that its vectors give their outputs on this machine.

    Parameters
    ----------
    path : str or Path
        A bundle folder.
    require_key : str or Path, optional
        Public key by which it must be signed.

    Raises
    ------
    BundleError
        When the signature is not as required, and at the first thing that is not as it was written: a file altered,
        missing or added, a contract or a vector that cannot be read, an output that differs.
    UsageError
        When `path` is no bundle folder.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise UsageError(f"{folder}: expected a bundle folder, as `lineside train` writes it.")
    sums = read_sums(folder)
    if require_key is None:  # else the Inspector checks them, behind the signature
        check_files(folder, sums)
    inspector = Inspector(folder, require_key=require_key)
    recorded = read_recorded(folder, sums, inspector.contract.frame.channels)
    return Verification(
        path=folder,
        part=inspector.contract.part,
        contract_version=inspector.contract.contract_version,
        model_sha256=inspector.model_sha256,
        files=len(sums),
        vectors=len(recorded),
        worst_score_rel=max(_check_vector(inspector, vector) for vector in recorded),
        tells_swapped_channels=recorded.tells_swapped_channels,
        signed_by=inspector.signed_by,
    )


def _check_vector(inspector: Inspector, vector: Vector) -> float:
    """Run one vector; return the relative difference of its score."""
    try:
        outputs = inspector.raw_outputs(vector.frame[None])
    except Exception as error:  # ONNX Runtime raises one class of its own per status code, with no common root
        raise BundleError(f"{vector.where}: the graph fails on its frame ({str(error).splitlines()[0]}).") from None
    return vector.compare(outputs, inspector.contract.score_tolerance_rel)

"""What `lineside tune` found best on this machine: beside the bundle, ``models/caps.tune.json`` for ``models/caps``.

Outside the bundle, because it is no part of what was signed or hashed: it changes how fast a verdict comes and never
which. It holds for one model on one machine; anything else is passed over, with a sentence in the log (a warning, which
Python shows unless told otherwise), for a line that became slow should say why.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from lineside.session import MAX_THREADS, PROVIDER, ort, processor_name, processors

if TYPE_CHECKING:
    import logging

_MAX_BYTES = 2**20


@dataclass(frozen=True)
class Machine:
    """What a choice holds for."""

    model_sha256: str
    cpu: str
    processors: int
    """That the process may use."""
    onnxruntime: str


@dataclass(frozen=True)
class Tuning:
    """The choice."""

    frame_threads: int
    """Of ONNX Runtime, where one frame comes after another."""
    batch_workers: int
    """Frames judged at the same time, where many are there."""
    batch_threads: int
    """Of ONNX Runtime, in each of them."""

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= MAX_THREADS:
                raise ValueError(f"{name} must be a whole number from 1 to {MAX_THREADS}, found {value!r}")

    @property
    def most_threads(self) -> int:
        """That compute at the same time; `lineside tune` tries no more than there are processors."""
        return max(self.frame_threads, self.batch_workers * self.batch_threads)

    def threads(self, many: Literal["frame", "batch"]) -> int:
        """Return ONNX Runtime's threads, for one frame after another or for many at the same time."""
        return self.frame_threads if many == "frame" else self.batch_threads


def tuning_path(bundle: Path) -> Path:
    """Return where the choice for a bundle lies."""
    folder = bundle.resolve()
    return folder.with_name(f"{folder.name}.tune.json")


def machine_for(model_sha256: str) -> Machine:
    """Return this machine, for a model."""
    return Machine(model_sha256, processor_name(), processors(), ort.__version__)


def tuning_text(tuning: Tuning, machine: Machine, measured: list[dict[str, Any]]) -> str:
    """Return the file's text.

    Parameters
    ----------
    tuning : Tuning
    machine : Machine
    measured : list
        The numbers behind it, for people.
    """
    document = {"for": asdict(machine), "provider": PROVIDER, "use": asdict(tuning), "measured": measured}
    return json.dumps(document, indent=2, allow_nan=False) + "\n"


def read_tuning(bundle: Path, model_sha256: str) -> Tuning | None:
    """Return the choice for a bundle; None where there is none that holds here, which is logged where there is another.

    Parameters
    ----------
    bundle : Path
        Its folder.
    model_sha256 : str
        Of the model in it.
    """
    path = tuning_path(bundle)
    try:
        with path.open("rb") as file:
            document = json.loads(file.read(_MAX_BYTES))
        if document["provider"] != PROVIDER:
            raise ValueError(f"provider must be {PROVIDER}, found {document['provider']!r}")
        found, tuning = Machine(**document["for"]), Tuning(**document["use"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        _log().warning("%s: not used, it cannot be read (%s). Run `lineside tune %s` again.", path, error, bundle)
        return None
    here = machine_for(model_sha256)
    if found != here:
        _log().warning("%s: not used, %s. Run `lineside tune %s` again.", path, _difference(found, here), bundle)
        return None
    if tuning.most_threads > here.processors:
        said = f"{tuning.most_threads} threads at once on {here.processors} processors"
        _log().warning("%s: not used, it asks for %s. Run `lineside tune %s` again.", path, said, bundle)
        return None
    _log().info("%s: %s", path, tuning)
    return tuning


def _difference(found: Machine, here: Machine) -> str:
    if found.model_sha256 != here.model_sha256:
        return "it was made for another model"
    pairs = zip(asdict(found).items(), asdict(here).values(), strict=True)
    changed = (f"{name} {then}, now {now}" for (name, then), now in pairs if then != now)
    return f"it was made elsewhere ({'; '.join(changed)})"


def _log() -> "logging.Logger":
    """Return the log; a start without a choice does not wait for its module."""
    import logging

    return logging.getLogger(__name__)

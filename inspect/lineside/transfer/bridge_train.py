"""One training run of an anomalib model, and what its failures mean.

anomalib's parts around a model (pre- and post-processing, evaluation, pictures) are off, and its `Engine` writes no
checkpoint, log or progress bar: all that is wanted is the fitted torch model.
"""

import inspect
import re
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn

from lineside.errors import LinesideError, UsageError
from lineside.transfer.bridge_catalog import KnownModel
from lineside.transfer.bridge_data import tensor_datamodule
from lineside.transfer.bridge_scope import own_signals

BATCH_SIZE = 32
"""As anomalib's data modules have it."""
MAX_EPOCHS = 100
"""For models that do not say it themselves: Lightning would take 1,000."""
_PIP_NAMES = {"open_clip": "open_clip_torch"}
"""Where a package is installed under another name than it is imported by."""


def build(kind: Any, arguments: Mapping[str, Any], size_wh: tuple[int, int]) -> Any:
    """Construct an anomalib model without the parts that lineside replaces."""
    parts = {"pre_processor": _SizeOnly(size_wh), "post_processor": False, "evaluator": False, "visualizer": False}
    taken = set(inspect.signature(kind).parameters)
    module = kind(**arguments, **{name: part for name, part in parts.items() if name in taken})
    module.pre_processor = None
    return module


def train(
    module: Any, goods: npt.NDArray[np.float32], known: KnownModel, training: Mapping[str, Any], scratch: Path
) -> None:
    """Fit an anomalib model with anomalib's engine on the CPU.

    Parameters
    ----------
    module : AnomalibModule
        Fitted in place.
    goods : ndarray of float32 [n, 3, H, W]
        Working tensors of good images.
    known : KnownModel
        What it needs of a training run.
    training : Mapping
        `max_epochs`, `max_steps`, `train_batch_size` where the recipe gives them.
    scratch : Path
        Folder that the engine may write to, thrown away afterwards.
    """
    from anomalib.callbacks import ModelCheckpoint
    from anomalib.engine import Engine

    limits = {name: training[name] for name in ("max_epochs", "max_steps") if name in training}
    limits = limits or {"max_epochs": MAX_EPOCHS}
    engine = Engine(
        default_root_dir=scratch,
        callbacks=[ModelCheckpoint(dirpath=scratch, save_top_k=0)],
        logger=False,
        accelerator="cpu",
        devices=1,
        enable_progress_bar=False,
        enable_model_summary=False,
        inference_mode=False,  # tensors made in inference mode cannot be exported
        limit_val_batches=1.0 if known.validates else 0,
        check_val_every_n_epoch=limits.get("max_epochs", 1),
        **limits,
    )
    batch_size = int(training.get("train_batch_size", known.batch_size or BATCH_SIZE))
    with own_signals():
        engine.fit(model=module, datamodule=tensor_datamodule(goods, batch_size))


def explained(error: Exception, known: KnownModel) -> LinesideError:
    """Turn whatever anomalib raised into one line that says what to do."""
    if isinstance(error, LinesideError):
        return error
    if _is_download(error):
        wanted = known.downloads or "its default backbone"
        return LinesideError(f"anomalib.{known.name} needs a download ({wanted}), and it failed. {known.remedy}")
    what = f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0][:300]}"
    if isinstance(error, ImportError):
        package = _missing_package(error)
        if package is None:
            return LinesideError(f"anomalib.{known.name}: a package that it needs cannot be imported ({what}).")
        pip_line = f"pip install {_PIP_NAMES.get(package, package)}"
        return UsageError(
            f"anomalib.{known.name} needs the package {package}, which is not installed. Install it with: {pip_line}"
        )
    if isinstance(error, TypeError | ValueError | KeyError):
        return UsageError(f"anomalib.{known.name} refused its options or these images ({what}).")
    return LinesideError(f"anomalib.{known.name} could not be fitted on these images ({what}).")


def _missing_package(error: ImportError) -> str | None:
    """Return the import name of the package that is not installed; None where the error is of another kind.

    anomalib raises with a sentence and no name: ``open_clip is required for …``, ``X requires 'huggingface_hub' …``.
    """
    if isinstance(error, ModuleNotFoundError) and error.name:
        return error.name.split(".")[0]
    for word in re.findall(r"^[a-z_][a-z0-9_]*(?= is required)|(?<=')[a-z_][a-z0-9_]*(?=')", str(error)):
        if find_spec(word) is None:
            return str(word)
    return None


def _is_download(error: BaseException | None) -> bool:
    """Whether a failed connection is at the bottom of an error."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        module = type(error).__module__
        name = type(error).__name__
        if isinstance(error, ConnectionError) or name in ("URLError", "gaierror", "LocalEntryNotFoundError"):
            return True
        if module.startswith(("huggingface_hub", "httpx", "httpcore", "requests", "urllib3")):
            return True
        error = error.__cause__ or error.__context__
    return False


class _SizeOnly(nn.Module):
    """Stands where anomalib's pre-processor stood while a model asks it for the input size; it is never applied."""

    def __init__(self, size_wh: tuple[int, int]) -> None:
        super().__init__()
        self._size_wh = size_wh

    def transform(self, dummy: Tensor) -> Tensor:
        width, height = self._size_wh
        return dummy.new_zeros((1, 3, height, width))

"""Running a foreign trainer without a trace: seeded, silent, and every global setting put back.

anomalib and Lightning draw from the process-wide random generators, print through tqdm and loggers, and look for
weights in the user's cache. `guest` lets them, for the time of one fit. Redirecting stdout and stderr was rejected: it
would also swallow the caller's own progress bar, which another thread may be drawing.
"""

import functools
import logging
import random
import signal
import sys
import threading
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, TypeVar

import numpy as np
import torch

from lineside.transfer.text_folder import ClipFolder
from lineside.transfer.text_tower import open_clip_model

_LOUD_LOGGERS = ("anomalib", "lightning", "lightning.pytorch", "lightning.fabric", "lightning_fabric", "timm")
_MODEL_MODULES = "anomalib.models."
_Item = TypeVar("_Item")


@contextmanager
def guest(seed: int) -> Iterator[None]:
    """Seed every global generator and silence warnings and logs; put all of it back afterwards.

    Parameters
    ----------
    seed : int
        Seed of Python's, NumPy's and torch's global generators inside the block.
    """
    with _random_states_kept(), _silence(), _deterministic():
        random.seed(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002 - the generator that scikit-learn inside anomalib draws from
        torch.manual_seed(seed)
        yield


@contextmanager
def bars_off() -> Iterator[None]:
    """Take the progress bars out of the model modules of anomalib that are loaded."""
    bare_module = SimpleNamespace(tqdm=_bare)
    with ExitStack() as stack:
        for module in _model_modules("tqdm"):
            replacement = bare_module if isinstance(module.tqdm, ModuleType) else _bare
            stack.enter_context(swapped(module, "tqdm", replacement))
        yield


@contextmanager
def weights_from(folder: Path | None) -> Iterator[None]:
    """Have anomalib, and torch's hub, look for pretrained files in `folder` instead of in the user's cache."""
    with ExitStack() as stack:
        if folder is not None:
            for module in _model_modules("get_pretrained_weights_dir"):
                stack.enter_context(swapped(module, "get_pretrained_weights_dir", lambda: folder))
            stack.enter_context(swapped(torch.hub, "get_dir", lambda: str(folder)))
        yield


@contextmanager
def timm_weights_from(folders: Mapping[str, Path]) -> Iterator[None]:
    """Have timm take the pretrained weights of some architectures from local folders instead of from its hub.

    Parameters
    ----------
    folders : Mapping
        Folder (``config.json``, ``model.safetensors``) by name of the architecture, such as ``resnet18``.
    """
    import timm

    create = timm.create_model

    @functools.wraps(create)
    def redirected(model_name: str, pretrained: bool = False, *args: Any, **kwargs: Any) -> Any:
        folder = folders.get(model_name.split(".")[0])
        if pretrained and folder is not None:
            model_name = f"local-dir:{folder}"
        return create(model_name, pretrained, *args, **kwargs)

    with swapped(timm, "create_model", redirected):
        yield


@contextmanager
def clip_from(clip: ClipFolder | None, size_hw: tuple[int, int]) -> Iterator[None]:
    """Have open_clip give the model of a local folder, made for working images of this size, whatever is asked of it.

    anomalib asks for one architecture at 240×240 by name and downloads it.
    """
    if clip is None:
        yield
        return
    import open_clip

    def local(*_: object, **__: object) -> tuple[Any, None, SimpleNamespace]:
        return open_clip_model(clip, size_hw), None, SimpleNamespace(transforms=[])

    with swapped(open_clip, "create_model_and_transforms", local):
        yield


@contextmanager
def own_signals() -> Iterator[None]:
    """Keep Lightning from handling signals.

    It would hold back a SIGTERM until the batch is done (minutes, in a coreset), and answer Ctrl-C by ignoring all
    further ones and leaving with `SystemExit`.
    """
    from lightning.pytorch.trainer.connectors.signal_connector import _SignalConnector

    before = signal.getsignal(signal.SIGINT)
    with swapped(_SignalConnector, "register_signal_handlers", lambda _: None):
        try:
            yield
        except SystemExit as stopped:
            if threading.current_thread() is threading.main_thread():
                signal.signal(signal.SIGINT, before)
            raise KeyboardInterrupt from stopped


def _model_modules(attribute: str) -> list[ModuleType]:
    """Return anomalib's loaded model modules that have `attribute`."""
    loaded = list(sys.modules.items())
    return [module for name, module in loaded if name.startswith(_MODEL_MODULES) and attribute in vars(module)]


def _bare(items: Iterable[_Item], *_: object, **__: object) -> Iterable[_Item]:
    return items


@contextmanager
def swapped(owner: object, name: str, value: object) -> Iterator[None]:
    """Put `value` in the place of an attribute of a module or class, or add it, for the time of the block."""
    absent = object()
    before = vars(owner).get(name, absent)
    setattr(owner, name, value)
    try:
        yield
    finally:
        if before is absent:
            delattr(owner, name)
        else:
            setattr(owner, name, before)


@contextmanager
def _random_states_kept() -> Iterator[None]:
    python, legacy, own = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(legacy)  # noqa: NPY002
        torch.set_rng_state(own)


@contextmanager
def _silence() -> Iterator[None]:
    loggers = [logging.getLogger(name) for name in _LOUD_LOGGERS]
    before = [(logger, logger.level) for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.CRITICAL)
        try:
            yield
        finally:
            for logger, level in before:
                logger.setLevel(level)


@contextmanager
def _deterministic() -> Iterator[None]:
    on, warn_only = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(True, warn_only=True)
    settings: Any = torch.utils.deterministic
    filling = settings.fill_uninitialized_memory
    settings.fill_uninitialized_memory = False  # a pass over every new tensor, for debugging
    try:
        yield
    finally:
        settings.fill_uninitialized_memory = filling
        torch.use_deterministic_algorithms(on, warn_only=warn_only)

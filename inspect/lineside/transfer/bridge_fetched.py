"""The hash of weights that an anomalib model fetches itself, taken where they arrive: later a fit may change them.

Each of the four ways in which anomalib's models come by weights is watched while a model is built.
"""

import functools
import importlib.util
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from lineside.transfer.backbone import state_sha256
from lineside.transfer.bridge_scope import swapped
from lineside.transfer.weights_folder import file_sha256


@contextmanager
def fetched_hashes() -> Iterator[list[str]]:
    """Collect the SHA-256 of what is fetched inside the block, in order: of the file, or of a network's numbers.

    Enter it before `bridge_scope.timm_weights_from` and `bridge_scope.clip_from`: what these take from a folder is not
    fetched.
    """
    import timm

    torchvision_api = import_module("torchvision.models._api")
    hashes: list[str] = []

    with ExitStack() as stack:
        _watch(stack, timm, "create_model", _of_timm, hashes)
        _watch(stack, torchvision_api, "load_state_dict_from_url", _of_hub_file, hashes)
        if importlib.util.find_spec("open_clip") is not None:
            import open_clip

            _watch(stack, open_clip, "create_model_and_transforms", _of_clip, hashes)
        from anomalib.models.image.anomalyvfm import torch_model

        if hasattr(torch_model, "hf_hub_download"):  # not there without huggingface_hub
            _watch(stack, torch_model, "hf_hub_download", _of_path, hashes)
        yield hashes


def _watch(stack: ExitStack, owner: object, name: str, digest: Callable[..., str | None], hashes: list[str]) -> None:
    """Note the hash of what a function returns."""
    call = getattr(owner, name)

    @functools.wraps(call)
    def watched(*args: Any, **kwargs: Any) -> Any:
        result = call(*args, **kwargs)
        found = digest(result, *args, **kwargs)
        hashes.extend([found] if found is not None else [])
        return result

    stack.enter_context(swapped(owner, name, watched))


def _of_timm(
    network: torch.nn.Module, model_name: str, pretrained: bool = False, *_: object, **__: object
) -> str | None:
    return state_sha256(network) if pretrained and not model_name.startswith("local-dir:") else None


def _of_hub_file(_: object, url: str, *__: object, **___: object) -> str:
    return file_sha256(Path(torch.hub.get_dir()) / "checkpoints" / Path(url).name)


def _of_clip(result: tuple[torch.nn.Module, Any, Any], *_: object, **__: object) -> str:
    return state_sha256(result[0])


def _of_path(path: str, *_: object, **__: object) -> str:
    return file_sha256(Path(path))

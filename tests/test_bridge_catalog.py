"""What is known of anomalib's models before any of them is built: names, refusals, and no heavy import."""

import subprocess
import sys
import warnings

import pytest

from lineside.errors import UsageError
from lineside.transfer.bridge_catalog import KNOWN_MODELS, resolve_model, usable_models


@pytest.mark.parametrize("name", ["Patchcore", "anomalib.Patchcore"])
def test_a_model_resolves_with_and_without_the_prefix(name):
    """Both spellings of a method name the same model."""
    assert resolve_model(name).name == "Patchcore"


def test_an_unknown_model_names_the_nearest_and_lists_all():
    """A misspelt model is refused with the nearest name and every usable one."""
    with pytest.raises(UsageError) as caught:
        resolve_model("anomalib.PatchCor")
    assert "anomalib.Patchcore" in caught.value.message
    assert all(name in caught.value.message for name in usable_models())
    assert "VlmAd" not in caught.value.message


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("VlmAd", "language model"),
        ("CFM", "point cloud"),
        ("Rad", "batch"),
        ("UniNet", "batch"),
        ("AiVad", "video"),
        ("Fuvas", "video"),
    ],
)
def test_a_model_that_cannot_be_a_graph_is_refused_in_one_line(name, reason):
    """Models that no graph can hold are refused by name, with the reason."""
    with pytest.raises(UsageError) as caught:
        resolve_model(f"anomalib.{name}")
    assert name in caught.value.message
    assert reason in caught.value.message
    assert "\n" not in caught.value.message


def test_resolving_imports_neither_torch_nor_anomalib():
    """The early check of a recipe's method stays light."""
    code = (
        "import sys; from lineside.transfer.bridge_catalog import resolve_model; resolve_model('anomalib.Padim');"
        "sys.exit(any(name in sys.modules for name in ('torch', 'anomalib', 'timm')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.slow
def test_the_table_names_exactly_anomalibs_models():
    """No model of the installed anomalib is missing from the table, and none is invented."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from anomalib.models import image, video
    assert set(KNOWN_MODELS) == set(image.__all__) | set(video.__all__)

"""From a torch module to a clean ONNX model: standard operators, dynamic sizes, nothing of this machine inside.

torch's exporter writes source paths and stack traces into node metadata; they are stripped here, so that the same
module gives the same bytes wherever it is exported. `onnx_program.save` was rejected: it knows no such option.
"""

import contextlib
import io
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from inspect import signature
from typing import TYPE_CHECKING

from lineside.errors import ParityError
from lineside.graph.export_cache import cached, export_sha256, known_sha256
from lineside.graph.export_shortcuts import shortcuts

if TYPE_CHECKING:
    import onnx
    import torch

OPSET = 20
IR_VERSION = 10
STANDARD_DOMAINS = ("", "ai.onnx")


def export_module(
    module: "torch.nn.Module",
    inputs: Mapping[str, "torch.Tensor"],
    outputs: Sequence[str],
    dynamic: Mapping[str, Mapping[int, str]],
    *,
    key: str | None = None,
) -> "onnx.ModelProto":
    """Export a module in evaluation mode, or find what it was exported to before.

    Parameters
    ----------
    module : torch.nn.Module
        Takes the inputs in their order, returns the outputs in theirs.
    inputs : mapping of name to example tensor
        Give dynamic dimensions an example size of 2 or more: torch takes 0 and 1 for constants.
    outputs : sequence of str
        Names of the outputs.
    dynamic : mapping of input name to {dimension: its name}
    key : str, optional
        What the module was made from, its weights and buffers aside, which are looked at here: all settings that its
        code reads. Two modules of one type with one key and the same numbers are the same. None: exported every time.

    Returns
    -------
    onnx.ModelProto
        Checked, inlined, without metadata.

    Raises
    ------
    ParityError
        When the module cannot be written with standard ONNX operators.
    """
    export = partial(_exported, module, inputs, outputs, dynamic)
    return export() if key is None else cached(export_sha256(key, module, inputs, outputs, dynamic), export)


def export_known(
    build: "Callable[[], torch.nn.Module]",
    inputs: Mapping[str, "torch.Tensor"],
    outputs: Sequence[str],
    dynamic: Mapping[str, Mapping[int, str]],
    key: str,
) -> "onnx.ModelProto":
    """Export a module of which the key says everything, its numbers too: it is built only where no export was kept.

    Other parameters as of `export_module`.
    """
    identity = known_sha256(key, inputs, outputs, dynamic)
    return cached(identity, lambda: _exported(build(), inputs, outputs, dynamic))


def _exported(
    module: "torch.nn.Module",
    inputs: Mapping[str, "torch.Tensor"],
    outputs: Sequence[str],
    dynamic: Mapping[str, Mapping[int, str]],
) -> "onnx.ModelProto":
    import torch
    from onnx.inliner import inline_local_functions

    from lineside.normalise.resize import onnx_translations

    dims = {name: torch.export.Dim(name) for axes in dynamic.values() for name in axes.values()}
    shapes = tuple({axis: dims[dim] for axis, dim in dynamic.get(name, {}).items()} or None for name in inputs)
    variadic = any(p.kind is p.VAR_POSITIONAL for p in signature(module.forward).parameters.values())
    with quiet(), shortcuts(), torch.no_grad():
        program = torch.onnx.export(
            module.eval(),
            tuple(inputs.values()),
            dynamo=True,
            opset_version=OPSET,
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_shapes=(shapes,) if variadic else shapes,
            custom_translation_table=onnx_translations(),
            verbose=False,
        )
    if program is None:
        raise ParityError("torch's exporter returned no graph.")
    model = clean(inline_local_functions(program.model_proto))
    _check_dynamic(model, dynamic)
    return model


def _check_dynamic(model: "onnx.ModelProto", dynamic: Mapping[str, Mapping[int, str]]) -> None:
    """Refuse a graph whose sizes were fixed: where it cannot follow a module, torch's exporter does so silently."""
    for item in model.graph.input:
        for axis, name in dynamic.get(item.name, {}).items():
            size = item.type.tensor_type.shape.dim[axis]
            if not size.dim_param:
                raise ParityError(
                    f"The exported graph takes {item.name} with {name} = {size.dim_value} alone: this model cannot be "
                    "exported for any number of frames. Choose another method."
                )


def clean(model: "onnx.ModelProto") -> "onnx.ModelProto":
    """Strip what says where and when a model was made, fix IR and opset, and check it; the model is changed in place.

    Raises
    ------
    ParityError
        When the graph uses an operator outside the ONNX standard.
    """
    import onnx

    model.ir_version = IR_VERSION
    model.producer_name, model.producer_version, model.doc_string = "lineside", "", ""
    del model.metadata_props[:], model.functions[:]
    foreign = sorted({node.domain for node in model.graph.node} - set(STANDARD_DOMAINS))
    if foreign:
        raise ParityError(f"The graph needs operators outside the ONNX standard ({', '.join(foreign)}).")
    del model.opset_import[:]
    model.opset_import.append(onnx.helper.make_opsetid("", OPSET))
    graph = model.graph
    graph.doc_string = ""
    del graph.metadata_props[:], graph.value_info[:]
    for item in (*graph.node, *graph.input, *graph.output, *graph.initializer):
        item.doc_string = ""
        del item.metadata_props[:]
    onnx.checker.check_model(model)
    return model


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Hold back what exporters print and warn; errors still come through."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)

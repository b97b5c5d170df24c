"""A graph as an ONNX file: written, cleaned of this machine's paths, run and compared."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from exporting.ports import Graph
from provenance import UserError

ALLOWED = 1e-4
"""Largest difference of an output from PyTorch's; of logits past 1, of the largest of them."""

Arrays = dict[str, NDArray[Any]]


def model_of(graph: Graph, opset: int, source: Path) -> Any:
    """The graph as an `onnx.ModelProto`, for any size of batch, without traces of this machine.

    Args:
        graph: What is exported.
        opset: Version of ONNX's operators.
        source: The checkpoint, for the sentence.

    Raises:
        UserError: Something in the network cannot be expressed.
    """
    import onnx

    example = tuple(
        torch.zeros((2, *one.shape) if one.has_batch else one.shape, dtype=getattr(torch, one.kind))
        for one in graph.inputs
    )
    any_size = torch.export.Dim.DYNAMIC
    shapes = tuple({0: any_size} if one.has_batch else {} for one in graph.inputs)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the exporter, about itself
            program: Any = torch.onnx.export(
                graph.network,
                example,
                dynamo=True,
                verbose=False,
                input_names=[one.name for one in graph.inputs],
                output_names=[one.name for one in graph.outputs],
                dynamic_shapes=shapes,
                opset_version=opset,
                optimize=False,  # see _simplify
            )
        _simplify(program.model)
        model: Any = program.model_proto
    except Exception as error:  # the exporter raises kinds of errors with no common base
        reason = " ".join(str(error).split())[:300]
        raise UserError(
            f"{source}: its network cannot be written as ONNX with opset {opset} "
            f"({type(error).__name__}: {reason}). Nothing was written; try another --opset."
        ) from error
    _name_the_batch(model)
    _forget_this_machine(model)
    written = next((one.version for one in model.opset_import if one.domain == ""), None)
    if written != opset:
        raise UserError(
            f"{source}: could not be written with --opset {opset}; {written} is what its layers "
            "need. Nothing was written; leave --opset out, or give that."
        )
    onnx.checker.check_model(model)
    return model


def outputs_of(model: Any, inputs: Arrays, sizes: Sequence[int]) -> Arrays:
    """What onnxruntime makes of inputs, on the CPU.

    Args:
        model: An `onnx.ModelProto`.
        inputs: By name; those with a batch have N rows.
        sizes: Of the batches to cut the N rows into, in turns, so that several are tried.
    """
    import onnxruntime

    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    names = [one.name for one in session.get_outputs()]
    has_batch = {one.name: isinstance(one.shape[0], str) for one in session.get_inputs()}
    number = max(len(array) for name, array in inputs.items() if has_batch[name])
    parts: list[list[NDArray[Any]]] = []
    start = 0
    while start < number:
        stop = start + sizes[len(parts) % len(sizes)]
        rows = {k: array[start:stop] if has_batch[k] else array for k, array in inputs.items()}
        parts.append(session.run(names, rows))
        start = stop
    return {name: np.concatenate([part[i] for part in parts]) for i, name in enumerate(names)}


def differences(made: Arrays, expected: dict[str, Tensor]) -> dict[str, float]:
    """Largest absolute difference of each output; of one past 1, a share of its largest value."""
    found = {}
    for name, tensor in expected.items():
        wanted = tensor.detach().double().numpy()
        scale = max(1.0, float(np.abs(wanted).max()))
        difference = np.abs(made[name].astype(np.float64) - wanted)
        found[name] = (
            float("inf") if np.isnan(difference).any() else float(difference.max()) / scale
        )
    return found


def refuse_differences(found: dict[str, float], source: Path, what: str) -> None:
    """Refuse (UserError) a file whose outputs are not the checkpoint's."""
    for name, value in found.items():
        if not value <= ALLOWED:
            raise UserError(
                f"{source}: as ONNX its {name} differ from PyTorch's by up to {value:.3g} on "
                f"{what}, and {ALLOWED:g} is allowed. Nothing was written; use the checkpoint "
                "itself, or try another --opset."
            )


def _simplify(model: Any) -> None:
    """Compute what does not depend on inputs, and write everything once.

    As the exporter does it, but without its rewriting: that takes 1e-8 for 0, and leaves out what
    keeps a division from 0 by 0, so that a feature map without variance became NaN.
    """
    from onnx_ir.passes import common
    from onnxscript.optimizer import fold_constants

    fold_constants(model)
    for step in (
        common.RemoveUnusedNodesPass(),
        common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0),
        common.DeduplicateInitializersPass(),
        common.CommonSubexpressionEliminationPass(),
        common.RemoveUnusedNodesPass(),
    ):
        step(model)


def _name_the_batch(model: Any) -> None:
    for value in (*model.graph.input, *model.graph.output):
        first = value.type.tensor_type.shape.dim[:1]
        if first and first[0].dim_param:
            first[0].dim_param = "batch"
    del model.graph.value_info[:]  # shapes in between, in the exporter's own names


def _forget_this_machine(model: Any) -> None:
    """The exporter notes in each node by which lines of which files it was made."""
    model.doc_string = model.graph.doc_string = ""
    del model.metadata_props[:]
    parts = [model.graph, *model.functions]
    while parts:
        part = parts.pop()
        del part.metadata_props[:]
        for node in part.node:
            node.doc_string = ""
            del node.metadata_props[:]
            parts += [one.g for one in node.attribute if one.HasField("g")]
    for value in (*model.graph.input, *model.graph.output, *model.graph.initializer):
        value.doc_string = ""
        del value.metadata_props[:]

"""From a torch module to ONNX: quietly, with readable names, and checked against the module's own numbers."""

from __future__ import annotations

import ast
import contextlib
import io
import logging
import re
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from offload.errors import OffloadError
from offload.models.inputs import Shape

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from onnx import ModelProto, NodeProto
    from torch import nn

TOLERANCE = 1e-4
"""Largest difference from torch's outputs, relative to their largest magnitude."""


def export(module: nn.Module, shapes: Mapping[str, Shape], *, name: str, vocabulary: int | None = None) -> ModelProto:
    """The module in inference mode as ONNX, each node named after the submodule it comes from.

    Args:
        module: Its forward takes float32 tensors, or int64 ids where there is a vocabulary, and returns tensors.
        shapes: Input shapes by name, in forward's order.
        name: What messages call the model.
        vocabulary: How many ids there are; None for float32 inputs.

    Raises:
        OffloadError: the module does not run on these shapes, or torch cannot export it.
    """
    import torch
    from onnxscript import optimizer
    from torch.utils import _pytree as pytree

    module.cpu().eval()
    arguments = tuple(torch.from_numpy(values) for values in sample_inputs(shapes, vocabulary).values())
    try:
        with quiet(), torch.inference_mode():
            outputs = pytree.tree_leaves(module(*arguments))
    except Exception as error:
        raise OffloadError(
            f"{name}: the module does not run on inputs of these shapes: {_reason(error)}",
            hint="check --input; run again with -v for the traceback",
        ) from error
    output_names = ["output"] if len(outputs) == 1 else [f"output_{index}" for index in range(len(outputs))]
    try:
        with quiet():
            program = torch.onnx.export(
                module,
                arguments,
                dynamo=True,
                verbose=False,
                optimize=False,  # its rewriting would replace a convolution by one named after its batch norm
                external_data=False,
                input_names=list(shapes),
                output_names=output_names,
            )
            assert program is not None  # noqa: S101  dynamo=True always returns it
            optimizer.fold_constants(program.model)
            optimizer.remove_unused_nodes(program.model)
            model: ModelProto = program.model_proto
    except Exception as error:
        raise OffloadError(
            f"{name}: torch cannot export the module to ONNX: {_reason(error)}",
            hint="run again with -v for the traceback, or export it yourself and give the .onnx file",
        ) from error
    if not {value.name for value in model.graph.input} <= shapes.keys():  # torch lets the output's name win
        raise OffloadError(
            f"{name}: the module returns one of its inputs unchanged", hint="return only what the module computes"
        )
    _name_nodes(model)
    return model


def check_against_torch(
    module: nn.Module, model: bytes, shapes: Mapping[str, Shape], *, name: str, vocabulary: int | None = None
) -> None:
    """Compare an exported model with its module on one random input; see `export` for the arguments.

    Raises:
        OffloadError: an output differs by more than `TOLERANCE`.
    """
    import numpy as np
    import onnxruntime as ort
    import torch
    from torch.utils import _pytree as pytree

    feeds = sample_inputs(shapes, vocabulary)
    with quiet(), torch.inference_mode():
        outputs = pytree.tree_leaves(module(*(torch.from_numpy(values) for values in feeds.values())))
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.add_session_config_entry("session.disable_prepacking", "1")  # a second copy of the weights, for one run
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    taken = {value.name: feeds[value.name] for value in session.get_inputs()}
    for want, have in zip(outputs, session.run(None, taken), strict=True):
        expected = np.asarray(want.numpy(), dtype=np.float64)
        difference = float(np.max(np.abs(have - expected), initial=0.0))
        scale = float(np.max(np.abs(expected), initial=0.0))
        if not difference <= TOLERANCE * scale and not np.array_equal(have, expected, equal_nan=True):
            raise OffloadError(
                f"{name}: the exported model differs from the module by {difference:.2g} (outputs reach {scale:.2g})",
                hint="the module is not deterministic, or torch's exporter has a mistake; give an .onnx file instead",
            )


def sample_inputs(
    shapes: Mapping[str, Shape], vocabulary: int | None = None
) -> dict[str, NDArray[np.float32]] | dict[str, NDArray[np.int64]]:
    """Seeded inputs by name: standard normal in float32, or int64 ids below `vocabulary` where there is one."""
    import numpy as np

    generator = np.random.default_rng(0)
    if vocabulary is not None:
        return {name: generator.integers(vocabulary, size=shape) for name, shape in shapes.items()}
    return {name: generator.standard_normal(shape, dtype=np.float32) for name, shape in shapes.items()}


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Torch's exporter prints, warns and logs; a library says nothing."""
    disabled = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            with contextlib.redirect_stderr(io.StringIO()):
                yield
    finally:
        logging.disable(disabled)


def _name_nodes(model: ModelProto) -> None:
    """Name nodes by module path: `layer3.5.conv1`; a function called by a module adds its own, `layer3.5.add`."""
    nodes = [(node, _scopes(node)) for node in model.graph.node]
    calls: dict[str, set[str]] = {}
    for _, scopes in nodes:
        calls.setdefault("".join(scopes[-2:-1]), set()).add(_call(scopes))
    # Modules that contain others, or call several functions of their own.
    modules = {path for _, scopes in nodes for path in scopes[:-2]} | {p for p, made in calls.items() if len(made) > 1}
    # A call that became several nodes names each after its operator as well.
    several = Counter(scopes for node, scopes in nodes if node.op_type != "Constant")
    for node, scopes in nodes:
        if len(scopes) < 2:
            continue
        path, call = scopes[-2], _call(scopes)
        call = node.op_type.lower() if call == "symbolic" else call  # an operator of ONNX that the module names itself
        name = path if path and path not in modules else ".".join(filter(None, (path, call)))
        node.name = f"{name}.{node.op_type.lower()}" if several[scopes] > 1 else name


def _call(scopes: tuple[str, ...]) -> str:
    return re.sub(r"_\d+$", "", "".join(scopes[-1:])).strip("_")


def _scopes(node: NodeProto) -> tuple[str, ...]:
    metadata: dict[str, Any] = {entry.key: entry.value for entry in node.metadata_props}
    with contextlib.suppress(ValueError, SyntaxError):
        return tuple(map(str, ast.literal_eval(metadata.get("pkg.torch.onnx.name_scopes", "()"))))
    return ()


def _reason(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__

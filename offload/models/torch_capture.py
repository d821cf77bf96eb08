"""From a torch module to a program: torch.export, then every ATen call a named layer, constants folded."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from offload.errors import OffloadError
from offload.graph.model_graph import DTYPE_BYTES, Layer, ModelGraph, Tensor
from offload.models.aten_operators import TensorArgument, flops_of_aten, kind_of_aten
from offload.models.segments import TorchSegment
from offload.models.torch_export import TOLERANCE, quiet
from offload.models.torch_program import Call, TorchProgram, Value, Weight, segment_module, substitute

if TYPE_CHECKING:
    import torch
    from torch import fx, nn
    from torch.export import ExportedProgram

_IDENTITIES = ("alias", "detach", "lift_fresh_copy", "dropout", "contiguous")
_CHECKS = ("_assert", "sym_constrain", "_assert_tensor_metadata", "_assert_async", "_assert_scalar")


def capture(module: nn.Module, inputs: Mapping[str, torch.Tensor], *, name: str) -> TorchProgram:
    """The module in inference form.

    Operators stay as the author called them (a convolution, a linear layer, an attention, a GRU), in-place ones become
    functional, what depends on no input becomes a weight.

    Args:
        module: Any, on the CPU.
        inputs: Tensors by name, in forward's order; only their shapes and types matter.
        name: What messages call the model.

    Raises:
        OffloadError: torch cannot export the module, or its work depends on its input's values, or it keeps a state.
    """
    import torch

    module.eval()
    with _tracing(name):
        exported = torch.export.export(module, tuple(inputs.values())).run_decompositions({})
        exported.graph.eliminate_dead_code()
    return _Lowering(_exported(exported, name), list(inputs), name).program()


def capture_plain(module: nn.Module, inputs: Mapping[str, torch.Tensor], *, name: str) -> TorchProgram:
    """What `capture` makes of a module, several times as fast: little of what it refuses is looked for.

    Args:
        module: On the CPU; one whose forward takes and returns tensors, branches on nothing that flows, changes nothing
            in place, and calls no composite operator that `capture` would take apart.
        inputs: Tensors by name, in forward's order; only their shapes and types matter.
        name: What messages call the model.

    Raises:
        OffloadError: torch cannot trace the module.
    """
    import torch
    from torch.fx.experimental.proxy_tensor import make_fx

    module.eval()
    held = {**dict(module.named_parameters()), **dict(module.named_buffers())}

    def run(weights: Mapping[str, torch.Tensor], *values: torch.Tensor) -> Any:
        return torch.func.functional_call(module, dict(weights), values)

    with _tracing(name):
        traced = make_fx(run, tracing_mode="fake", pre_dispatch=True)(held, *inputs.values())
        traced.graph.eliminate_dead_code()
    nodes = list(traced.graph.nodes)
    placeholders = [node for node in nodes if node.op == "placeholder"]
    results = nodes[-1].args[0]
    graph = _Traced(
        nodes=nodes,
        inputs=placeholders[len(held) :],
        held={node: (key, held[key]) for node, key in zip(placeholders, held, strict=False)},
        results=list(results) if isinstance(results, list | tuple) else [results],
    )
    return _Lowering(graph, list(inputs), name).program()


@contextmanager
def _tracing(name: str) -> Iterator[None]:
    """One line for whatever the module or the tracer raises.

    Raises:
        OffloadError: something was raised.
    """
    import torch

    try:
        with quiet(), torch.no_grad():
            yield
    except Exception as error:
        reason = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise OffloadError(
            f"{name}: torch cannot export the module: {reason}",
            hint="check --input; run again with -v for the traceback",
        ) from error


def check_against_module(
    program: TorchProgram, module: nn.Module, inputs: Mapping[str, torch.Tensor], *, name: str
) -> None:
    """Compare a program with its module on one input.

    Raises:
        OffloadError: an output differs by more than `TOLERANCE`.
    """
    import torch
    from torch.utils import _pytree as pytree

    indices = tuple(range(len(program.calls)))
    whole = TorchSegment(program=program, layers=indices, inputs=program.graph.inputs, outputs=program.graph.outputs)
    runs = segment_module(whole, device=torch.device("cpu"), convert=lambda weight: weight)
    with quiet(), torch.inference_mode():
        expected = [each for each in pytree.tree_leaves(module(*inputs.values())) if isinstance(each, torch.Tensor)]
        answered = runs(*inputs.values())
    for want, have in zip(expected, answered, strict=False):
        if not torch.allclose(have, want, rtol=0, atol=TOLERANCE * float(want.abs().max()) or 0.0, equal_nan=True):
            raise OffloadError(
                f"{name}: the exported program differs from the module",
                hint="the module is not deterministic, or changes its own state, so it cannot be divided",
            )


@dataclass(frozen=True, kw_only=True)
class _Traced:
    """A module as a graph of calls."""

    nodes: Sequence[fx.Node]
    inputs: Sequence[fx.Node]
    """In forward's order."""
    held: Mapping[fx.Node, tuple[str, Any]]
    """Parameters, buffers and constants: their name, and the tensor unless it is custom code's."""
    results: Sequence[Any]
    """What is returned, nodes and other values."""


def _exported(exported: ExportedProgram, name: str) -> _Traced:
    from torch.export.graph_signature import InputKind, OutputKind

    tensors = {**exported.state_dict, **exported.constants}
    nodes = list(exported.graph.nodes)
    placeholders = {node.name: node for node in nodes if node.op == "placeholder"}
    inputs, held = [], {}
    for spec in exported.graph_signature.input_specs:
        node = placeholders[spec.arg.name]
        if spec.kind is InputKind.USER_INPUT:
            inputs.append(node)
        else:
            held[node] = str(spec.target), tensors[str(spec.target)]
    specs = exported.graph_signature.output_specs
    if any(spec.kind is OutputKind.BUFFER_MUTATION for spec in specs):
        raise OffloadError(
            f"{name}: the module changes its own buffers when it runs",
            hint="only networks whose answer depends on nothing but their input can be divided",
        )
    returned = nodes[-1].args[0]
    pairs = zip(specs, returned if isinstance(returned, list | tuple) else [returned], strict=True)
    results = [node for spec, node in pairs if spec.kind is OutputKind.USER_OUTPUT]
    return _Traced(nodes=nodes, inputs=inputs, held=held, results=results)


class _Lowering:
    """Turns one traced module into calls, in its order."""

    def __init__(self, traced: _Traced, input_names: Sequence[str], name: str) -> None:
        self._traced, self._name = traced, name
        self._nodes = traced.nodes
        self._values: dict[fx.Node, Value | Weight] = {}
        self._weights: dict[str, torch.Tensor] = {}
        self._tensors: dict[str, Tensor] = {}
        self._calls: list[Call] = []
        self._layers: list[Layer] = []
        self._inputs = self._bind_placeholders(input_names)
        self._output_names = self._name_outputs()

    def program(self) -> TorchProgram:
        names = _layer_names([node for node in self._nodes if _is_call(node)])
        for node in self._nodes:
            if node.op == "get_attr":
                raise OffloadError(
                    f"{self._name}: the module branches or loops on values of its input",
                    hint="only networks whose work is the same for every input can be divided",
                )
            if _is_call(node):
                self._add(node, names[node])
        outputs = dict.fromkeys(self._value_name(node) for node in self._output_nodes())
        graph = ModelGraph(
            tensors=tuple(self._tensors.values()),
            layers=tuple(self._layers),
            inputs=self._inputs,
            outputs=tuple(outputs),
        )
        used = {leaf.name for call in self._calls for leaf in _leaves((call.args, *call.kwargs.values()), Weight)}
        weights = {name: tensor for name, tensor in self._weights.items() if name in used}
        return TorchProgram(graph=graph, calls=tuple(self._calls), weights=weights)

    def _bind_placeholders(self, input_names: Sequence[str]) -> tuple[str, ...]:
        for node, (label, tensor) in self._traced.held.items():
            self._values[node] = self._new_weight(label, tensor)
        bound = []
        for node, name in zip(self._traced.inputs, input_names, strict=True):
            bound.append(name)
            self._values[node] = self._new_tensor(name, node.meta["val"])
        return tuple(bound)

    def _output_nodes(self) -> list[fx.Node]:
        return [node for node in self._traced.results if _is_tensor(node)]

    def _name_outputs(self) -> dict[fx.Node, str]:
        nodes = [_through_identities(node) for node in dict.fromkeys(self._output_nodes())]
        if any(node.op == "placeholder" for node in nodes):
            raise OffloadError(
                f"{self._name}: the module returns one of its inputs unchanged, or a weight",
                hint="return only what the module computes",
            )
        return {node: f"output_{i}" if len(nodes) > 1 else "output" for i, node in enumerate(dict.fromkeys(nodes))}

    def _value_name(self, node: fx.Node) -> str:
        return self._values[_through_identities(node)].name

    def _add(self, node: fx.Node, name: str) -> None:
        """One call: a layer, a weight when it depends on no input, or nothing when it changes nothing."""
        source = _through_identities(node)
        if source is not node:
            self._values[node] = self._values[source]
            return
        args, kwargs = self._arguments(node)
        results = _results(node)
        if not _leaves((args, *kwargs.values()), Value) and not self._must_stay(node, results):
            self._fold(node, name, args, kwargs, results)
            return
        produced: dict[str, int | None] = {}
        for user, position in results.items():
            own = name if len(results) == 1 else f"{name}.{position}"
            value = self._new_tensor(self._output_names.get(user, own), user.meta["val"])
            self._values[user] = value
            produced[value.name] = position
        call = Call(operator=_portable(node.target), args=args, kwargs=kwargs, results=produced)
        self._calls.append(call)
        self._layers.append(self._layer(name, call))

    def _must_stay(self, node: fx.Node, results: Mapping[fx.Node, int | None]) -> bool:
        """A random value is not a constant, and an output must be some layer's."""
        import torch

        tags = getattr(node.target, "tags", ())
        return torch.Tag.nondeterministic_seeded in tags or any(user in self._output_names for user in results)

    def _arguments(self, node: fx.Node) -> tuple[tuple[Any, ...], dict[str, Any]]:
        from torch import fx

        def replace(leaf: Any) -> Any:
            return self._values[leaf] if isinstance(leaf, fx.Node) else leaf

        return substitute(node.args, replace), _substituted(node.kwargs, replace)

    def _fold(
        self, node: fx.Node, name: str, args: Any, kwargs: Mapping[str, Any], results: Mapping[fx.Node, int | None]
    ) -> None:
        def concrete(leaf: Any) -> Any:
            return self._weights[leaf.name] if isinstance(leaf, Weight) else leaf

        import torch

        with torch.no_grad():
            made: Any = node.target(*substitute(args, concrete), **_substituted(kwargs, concrete))  # type: ignore[operator]
        for user, position in results.items():
            label = name if position is None else f"{name}.{position}"
            self._values[user] = self._new_weight(label, made if position is None else made[position])

    def _new_weight(self, name: str, tensor: Any) -> Weight:
        import torch

        if not isinstance(tensor, torch.Tensor):
            raise OffloadError(f"{self._name}: the module calls custom code", hint="only torch's own operators can run")
        while name in self._weights:
            name += "_"
        self._weights[name] = tensor.detach()
        return Weight(name)

    def _new_tensor(self, name: str, value: Any) -> Value:
        import torch

        if not isinstance(value, torch.Tensor) or not all(isinstance(size, int) for size in value.shape):
            raise OffloadError(
                f"{self._name}: the shape of {name!r} depends on the input's values",
                hint="only networks whose work is the same for every input can be divided",
            )
        dtype = str(value.dtype).removeprefix("torch.")
        if dtype not in DTYPE_BYTES:
            raise OffloadError(f"{self._name}: tensor {name!r} is of type {dtype}, which cannot be sent", hint="")
        while name in self._tensors:
            name += "_"
        self._tensors[name] = Tensor(name=name, shape=tuple(value.shape), dtype=dtype)
        return Value(name)

    def _layer(self, name: str, call: Call) -> Layer:
        op = _operator_name(call.operator)
        leaves = _leaves((call.args, *call.kwargs.values()), Value)
        weights = _leaves((call.args, *call.kwargs.values()), Weight)
        args = substitute(call.args, self._described)
        outputs = [self._tensors[result].shape for result in call.results]
        return Layer(
            name=name,
            kind=kind_of_aten(op, args, outputs),
            op=op,
            inputs=tuple(dict.fromkeys(leaf.name for leaf in leaves)),
            outputs=tuple(call.results),
            flops=flops_of_aten(op, args, outputs),
            weight_bytes=sum(self._weights[each].nbytes for each in dict.fromkeys(leaf.name for leaf in weights)),
        )

    def _described(self, leaf: Any) -> Any:
        if isinstance(leaf, Value):
            return TensorArgument(shape=self._tensors[leaf.name].shape, is_weight=False)
        if isinstance(leaf, Weight):
            return TensorArgument(shape=tuple(self._weights[leaf.name].shape), is_weight=True)
        return leaf


def _substituted(arguments: Mapping[str, Any], replace: Callable[[Any], Any]) -> dict[str, Any]:
    return {key: substitute(value, replace) for key, value in arguments.items()}


def _leaves(argument: Any, kind: type[Any]) -> list[Any]:
    found: list[Any] = []

    def collect(leaf: Any) -> Any:
        if isinstance(leaf, kind):
            found.append(leaf)
        return leaf

    substitute(argument, collect)
    return found


def _is_tensor(node: Any) -> bool:
    import torch

    return hasattr(node, "meta") and isinstance(node.meta.get("val"), torch.Tensor)


def _is_call(node: fx.Node) -> bool:
    """Whether a node computes something: taking a result apart, or checking something, does not."""
    if node.op != "call_function" or node.target is operator.getitem:
        return False
    return not _operator_name(node.target).startswith(_CHECKS)


def _results(node: fx.Node) -> dict[fx.Node, int | None]:
    """The nodes that stand for what a call returns, and which of several results each is."""
    if _is_tensor(node):
        return {node: None}
    taken: dict[fx.Node, int | None] = {}
    for user in node.users:
        if user.target is not operator.getitem:
            raise OffloadError(
                f"{node.name} returns something that is not a tensor", hint="give a network of plain tensor operators"
            )
        taken[user] = int(user.args[1])  # type: ignore[arg-type]
    return taken


def _through_identities(node: fx.Node) -> fx.Node:
    """The node whose value this one hands on unchanged: nothing is changed in place, so a copy is as good."""
    from torch import fx

    while _is_call(node):
        name = _operator_name(node.target)
        copies = name == "clone" and node.kwargs.get("memory_format") is None
        source = node.args[0] if node.args else None
        if not (copies or name in _IDENTITIES) or not isinstance(source, fx.Node):
            break
        node = source
    return node


def _operator_name(target: Any) -> str:
    """`conv2d` of `aten.conv2d.default`."""
    schema = getattr(target, "_schema", None)
    return str(schema.name).rpartition("::")[2] if schema is not None else str(target)


def _portable(target: Any) -> Any:
    """The operator to run: a view asks for one layout in memory, which the other side of a cut may not have."""
    import torch

    reshape = torch.ops.aten.reshape.default
    views = (torch.ops.aten.view.default, torch.ops.aten._unsafe_view.default)
    if target in views:
        return reshape
    if _operator_name(target) in ("as_strided", "view_as_real", "view_as_complex"):
        raise OffloadError(
            f"the module uses {_operator_name(target)}, which depends on how a tensor lies in memory",
            hint="write it with slices and reshapes",
        )
    return target


def _layer_names(nodes: Sequence[fx.Node]) -> dict[fx.Node, str]:
    """Module path, and the operator where the module contains others or calls several: `layer3.5.conv1`, `3.5.add`."""
    paths = {node: [path for path, _ in (node.meta.get("nn_module_stack") or {}).values()] for node in nodes}
    modules = {path for stack in paths.values() for path in stack[:-1]}
    operators: dict[str, set[str]] = {}
    for node, stack in paths.items():
        operators.setdefault("".join(stack[-1:]), set()).add(_operator_name(node.target))
    taken: set[str] = set()
    names: dict[fx.Node, str] = {}
    for node, stack in paths.items():
        path = stack[-1] if stack else ""
        op = _operator_name(node.target).strip("_")
        alone = path and path not in modules and len(operators[path]) == 1
        wanted = path if alone else ".".join(filter(None, (path, op)))
        name, count = wanted, 0
        while name in taken:
            count += 1
            name = f"{wanted}_{count}"
        taken.add(name)
        names[node] = name
    return names

"""The models a link is measured with: our own server's, or the same two uploaded to any server for the purpose."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from offload.artifacts.link import Direction
from offload.errors import OffloadError
from offload.serving.builtin_models import PROBE_DOWN, PROBE_UP
from offload.serving.client import ServerClient
from offload.serving.client_errors import ServerError
from offload.serving.timing import InferResult

if TYPE_CHECKING:
    from onnx import NodeProto, ValueInfoProto

    from offload.runtimes.base import Array

WAIT_S = 0.005
"""An answer that was waited for takes some 0.3 ms longer; beyond a few milliseconds, the longer wait adds nothing."""
_OPSET, _IR_VERSION = 13, 7
"""Old enough for every runtime that is still in use."""


@dataclass(frozen=True, kw_only=True)
class Probes:
    """Two models of one interface: `up` takes a UINT8 `payload` and answers its `count`, `down` the reverse.

    The built-in ones answer after a wait, as a model does that computes.
    """

    up: str
    down: str
    kind: Literal["built-in", "uploaded"]

    def model(self, direction: Direction) -> str:
        """The model whose long message travels that way."""
        return self.up if direction == "up" else self.down

    def send(
        self, client: ServerClient, direction: Direction, payload: Array, *, timeout_s: float | None = None
    ) -> InferResult:
        """Move a message as long as `payload` that way.

        Raises:
            ServerError: the server failed, or answered something else.
        """
        count: Array = np.array([payload.size], np.int64)
        feeds, expected = ({"payload": payload}, "count") if direction == "up" else ({"count": count}, "payload")
        if self.kind == "built-in":
            feeds["wait_s"] = np.array([WAIT_S])
        result = client.infer(self.model(direction), feeds, timeout_s=timeout_s)
        answer = result.outputs.get(expected)
        told = None if answer is None else int(answer[0]) if direction == "up" and answer.size else answer.size
        if told != payload.size:
            raise ServerError(
                f"the server at {client.address} answers {told} where {self.model(direction)} must say {payload.size}",
                hint="it serves another model under that name: unload it there",
                code="",
            )
        return result


@contextmanager
def link_probes(client: ServerClient) -> Iterator[Probes]:
    """The probes of a server; uploaded ones are removed at the end.

    Raises:
        OffloadError: the server has none and takes no uploads.
    """
    if client.ready(PROBE_UP) and client.ready(PROBE_DOWN):
        yield Probes(up=PROBE_UP, down=PROBE_DOWN, kind="built-in")
        return
    run = secrets.token_hex(4)  # so that two measurements of one server do not unload each other's
    probes = Probes(up=f"{PROBE_UP}-{run}", down=f"{PROBE_DOWN}-{run}", kind="uploaded")
    uploaded: list[str] = []
    try:
        for name, onnx in ((probes.up, _probe_up()), (probes.down, _probe_down())):
            uploaded.append(name)
            _upload(client, name, onnx)
        yield probes
    finally:
        for name in uploaded:
            with suppress(OffloadError):  # the server may be what failed
                client.unload(name)


def _upload(client: ServerClient, name: str, onnx: bytes) -> None:
    try:
        client.upload(name, onnx)
        reason = "" if client.ready(name) else "it accepted one and does not have it ready"
    except ServerError as error:
        if error.code in ("UNAUTHENTICATED", "PERMISSION_DENIED", "DEADLINE_EXCEEDED"):
            raise
        reason = error.message
    if reason:
        raise OffloadError(
            f"the server at {client.address} has no probes of offload's and takes no uploads: {reason}",
            hint="run `offload serve` there, or Triton with --model-control-mode=explicit",
        )


def _probe_up() -> bytes:
    """`count = Shape(payload)`: reads the message's length and none of its bytes."""
    from onnx import TensorProto, helper

    return _model(
        [helper.make_node("Shape", ["payload"], ["count"])],
        [helper.make_tensor_value_info("payload", TensorProto.UINT8, ["n"])],
        [helper.make_tensor_value_info("count", TensorProto.INT64, [1])],
    )


def _probe_down() -> bytes:
    """`payload`: as many zeros as `count` says."""
    from onnx import TensorProto, helper

    zero = helper.make_tensor("zero", TensorProto.UINT8, [1], [0])
    return _model(
        [helper.make_node("ConstantOfShape", ["count"], ["payload"], value=zero)],
        [helper.make_tensor_value_info("count", TensorProto.INT64, [1])],
        [helper.make_tensor_value_info("payload", TensorProto.UINT8, ["n"])],
    )


def _model(nodes: list[NodeProto], inputs: list[ValueInfoProto], outputs: list[ValueInfoProto]) -> bytes:
    from onnx import helper

    graph = helper.make_graph(nodes, "offload-link-probe", inputs, outputs)
    opsets = [helper.make_opsetid("", _OPSET)]
    return bytes(helper.make_model(graph, opset_imports=opsets, ir_version=_IR_VERSION).SerializeToString())

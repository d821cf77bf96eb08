"""What the framework itself costs: a 600 kB tensor to the embedded server on loopback, beside raw sockets.

Overhead is the call from array to array, minus the server's compute, minus raw sockets moving the same bytes. The
target is at most 1.5 ms + 3 % of the call. Run: `python benchmarks/overhead.py`. Prints a Markdown table.
"""

from __future__ import annotations

import multiprocessing
import socket
import statistics
import struct
import time
from multiprocessing.connection import Connection

import numpy as np
import onnx
from onnx import TensorProto, helper

from offload.serving.client import ServerClient
from offload.serving.embedded import EmbeddedServer

ELEMENTS = 150_000
ROUNDS, CALLS_PER_ROUND = 20, 20
TARGET_S, TARGET_FRACTION = 1.5e-3, 0.03


def tail() -> bytes:
    """A model that takes 600 kB, does little and answers four bytes."""
    graph = helper.make_graph(
        [helper.make_node("ReduceMax", ["x"], ["y"], axes=[1], keepdims=1)],
        "tail",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, ELEMENTS])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1])],
    )
    model: onnx.ModelProto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return model.SerializeToString()


def serve_raw(port: Connection) -> None:
    """A peer that takes a length-prefixed message and answers four bytes."""
    listener = socket.create_server(("127.0.0.1", 0))
    port.send(listener.getsockname()[1])
    connection, _ = listener.accept()
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    while header := connection.recv(4, socket.MSG_WAITALL):
        view = memoryview(bytearray(struct.unpack("<I", header)[0]))
        while view:
            view = view[connection.recv_into(view) :]
        connection.sendall(b"done")


def call_raw(connection: socket.socket, array: np.ndarray) -> float:
    """Seconds for one message and its answer."""
    started = time.perf_counter()
    connection.sendall(struct.pack("<I", array.nbytes))
    connection.sendall(array.data.cast("B"))
    connection.recv(4, socket.MSG_WAITALL)
    return time.perf_counter() - started


def main() -> None:
    """Print the table."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    peer = context.Process(target=serve_raw, args=(theirs,), daemon=True)
    peer.start()
    array = np.random.default_rng(0).random((1, ELEMENTS), np.float32)
    total, compute, raw = [], [], []
    with (
        EmbeddedServer(threads=2) as server,
        ServerClient(server.address) as client,
        socket.create_connection(("127.0.0.1", ours.recv())) as connection,
    ):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.upload("tail", tail())
        for kept in [False, False] + [True] * ROUNDS:
            for _ in range(CALLS_PER_ROUND):
                result = client.infer("tail", {"x": array})
                raw_s = call_raw(connection, array)
                if kept and result.server is not None:
                    total.append(result.total_s)
                    compute.append(result.server.compute_infer_ns / 1e9)
                    raw.append(raw_s)
    overhead = [whole - inferred - moved for whole, inferred, moved in zip(total, compute, raw, strict=True)]
    print("| median of | ms |\n|---|---|")
    for name, samples in (("the call, array to array", total), ("server compute", compute), ("raw sockets", raw)):
        print(f"| {name} | {statistics.median(samples) * 1e3:.3f} |")
    print(f"| **overhead** | **{statistics.median(overhead) * 1e3:.3f}** |")
    print(f"| target | {(TARGET_S + TARGET_FRACTION * statistics.median(total)) * 1e3:.3f} |")


if __name__ == "__main__":
    main()

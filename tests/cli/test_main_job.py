"""Profile, plan and verify as a user would, with a real model small enough to be quick."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.cli.conftest import Run

QUICK = ("--threads", "1", "--max-time", "1s", "--precision", "20%")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Four matrix products with ReLUs between them; the tensors shrink."""
    widths = [4096, 512, 512, 64, 10]
    generator = np.random.default_rng(0)
    nodes, weights, name = [], [], "input"
    for number, (wide, narrow) in enumerate(itertools.pairwise(widths)):
        values = generator.standard_normal((wide, narrow), dtype=np.float32) / np.float32(wide**0.5)
        weights.append(numpy_helper.from_array(values, f"w{number}"))
        nodes.append(helper.make_node("MatMul", [name, f"w{number}"], [f"p{number}"], name=f"product{number}"))
        nodes.append(helper.make_node("Relu", [f"p{number}"], [f"t{number}"], name=f"relu{number}"))
        name = f"t{number}"
    graph = helper.make_graph(
        nodes,
        "toy",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, widths[0]])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, widths[-1]])],
        weights,
    )
    path = tmp_path / "toy.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def test_the_main_job(child: Run, model: Path, tmp_path: Path) -> None:
    server = tmp_path / "server.json"
    assert child("profile", str(model), *QUICK, "-o", str(server)).code == 0

    profiled = child("profile", str(model), *QUICK, "--power", "3.2W", "--idle-power", "1W", "--all")
    assert profiled.code == 0, profiled.err
    assert "product0" in profiled.out
    assert "energy, modelled" in profiled.out

    planned = child(
        *("plan", "--server", str(server), "--bw", "50mbps", "--rtt", "2ms", "--emulate-slowdown", "8"),
        *("--target", "energy", "--radio", "wifi"),
    )
    assert planned.code == 0, planned.err
    assert "energy, all" in planned.out

    verified = child("verify", "--requests", "5", "--tolerance", "1000%", "--json")
    assert verified.code in (0, 4), verified.err
    verification = json.loads(verified.out)
    assert verification["kind"] == "verification"
    assert verification["output_error"] <= verification["output_tolerance"]
    assert verification["verdict"] in ("within tolerance", "cannot tell"), verified.err

"""The random networks: what they are made of, that they run and are the same for everyone; and measuring them."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest

from offload.errors import OffloadError
from offload.models.executed import TimedNetwork
from offload.models.onnx_graph import graph_of
from offload.profilers.layers import random_feeds
from offload.profilers.sampling import measuring
from offload.profilers.sampling.measuring import measure_network, measure_networks, read_checkpoint
from offload.profilers.sampling.networks import MOST_NETWORKS, SampledNetwork, sampled_network
from offload.progress import NullProgress
from offload.runtimes.onnxruntime import OnnxRuntime
from tests.drawn import drawn, drawn_each
from tests.fitted import gemm, timed

EACH_STYLE = 4
HOLDS = {
    "image": {"Conv"},
    "dense": {"Gemm", "MatMul"},
    "transformer": {"MatMul", "Softmax", "LayerNormalization"},
    "recurrent": {"LSTM", "GRU", "RNN"},
    "speech": {"MatMul", "Gemm", "Conv"},
    "local": {"MatMul"},
}
ALL_OF_THEM = ("image", "transformer", "local")
"""Styles whose networks hold all of those operators; the others hold one of them at least."""


@pytest.mark.parametrize("style", HOLDS)
def test_networks_hold_what_their_style_says_and_run(style: str) -> None:
    runtime = OnnxRuntime(device="cpu")
    for network in drawn_each({style: EACH_STYLE}, scale=0.4):
        model = onnx.load_from_string(network.onnx)
        onnx.checker.check_model(model)
        ops = {node.op_type for node in model.graph.node}
        wanted = HOLDS[style]
        assert wanted <= ops if style in ALL_OF_THEM else wanted & ops, (network.number, ops)
        graph = graph_of(network.onnx)
        made = runtime.load_onnx(network.onnx, threads=1).run(random_feeds(graph))
        for value in model.graph.output:
            shape = tuple(size.dim_value for size in value.type.tensor_type.shape.dim)
            assert made[value.name].shape == shape, (network.number, value.name)
        for values in made.values():
            assert np.isfinite(values).all(), network.number


def test_a_number_is_one_network_in_any_process() -> None:
    numbers = (0, 7, 23)
    here = [hashlib.sha256(sampled_network(number).onnx).hexdigest() for number in numbers]
    code = (
        "import hashlib\n"
        "from offload.profilers.sampling.networks import sampled_network\n"
        f"print(*(hashlib.sha256(sampled_network(n).onnx).hexdigest() for n in {numbers}))"
    )
    there = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert here == there
    assert len(set(here)) == 3


def test_there_are_no_more_than_were_promised() -> None:
    assert MOST_NETWORKS <= 1500
    for number in (-1, MOST_NETWORKS):
        with pytest.raises(ValueError, match="networks, counted from 0"):
            sampled_network(number)


def test_measuring_one_network_times_every_kernel_in_every_round() -> None:
    network = drawn("image", 3)
    found = measure_network(network, OnnxRuntime(device="cpu"), threads=1)
    assert found.number == network.number
    rounds = len(found.whole_s)
    assert rounds >= 4
    assert len(found.kernels) == len(found.kernel_s)
    assert all(len(samples) == rounds for samples in found.kernel_s)
    assert min(found.whole_s) > 0
    assert found.reference_s > found.empty_call_s > 0
    assert len({kernel.name for kernel in found.kernels}) == len(found.kernels)


class Listener(NullProgress):
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.details: list[str] = []

    def note(self, message: str) -> None:
        self.notes.append(message)

    def detail(self, words: str) -> None:
        self.details.append(words)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> Counter[int]:
    """Measuring takes no time to speak of; counts which networks were measured."""
    measured: Counter[int] = Counter()

    def measure(network: SampledNetwork, runtime: OnnxRuntime, *, threads: int, **_: str) -> TimedNetwork:
        measured[network.number] += 1
        if network.number == 3:
            raise OffloadError("no such operator")
        return timed(network.number, [gemm(2, 2, 2)])

    monkeypatch.setattr(measuring, "measure_network", measure)
    monkeypatch.setattr(
        measuring, "sampled_network", lambda number: SampledNetwork(number=number, style="made", onnx=b"")
    )
    monkeypatch.setattr(measuring, "MOST_NETWORKS", 8)
    return measured


def measure_all(checkpoint: Path, progress: NullProgress | None = None, budget_s: float = 60.0) -> list[int]:
    found = measure_networks(
        OnnxRuntime(device="cpu"),
        threads=1,
        budget_s=budget_s,
        checkpoint=checkpoint,
        progress=progress or NullProgress(),
    )
    return [network.number for network in found]


def test_what_was_measured_is_taken_from_the_checkpoint(
    tmp_path: Path, quick: Counter[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = tmp_path / "cache" / "fit.jsonl"
    listener = Listener()
    assert measure_all(checkpoint, listener) == [0, 1, 2, 4, 5, 6, 7]
    assert listener.notes == ["network 3 left out: no such operator"]
    assert listener.details[-1] == "7 networks: linear 7"
    with checkpoint.open("a", encoding="utf-8") as stream:
        stream.write('{"network": {"number": 5, "sty')  # cut off by a crash
    listener = Listener()
    assert measure_all(checkpoint, listener) == [0, 1, 2, 4, 5, 6, 7]
    assert "7 networks were measured before" in listener.notes[0]
    assert quick == {0: 1, 1: 1, 2: 1, 3: 2, 4: 1, 5: 1, 6: 1, 7: 1}
    monkeypatch.setattr(measuring, "MOST_NETWORKS", 9)
    assert measure_all(checkpoint)[-1] == 8
    assert measure_all(checkpoint) == [0, 1, 2, 4, 5, 6, 7, 8]
    assert quick[8] == 1, "the line that was cut off spoils no other"


def test_a_network_in_the_checkpoint_comes_back_as_it_was(tmp_path: Path, quick: Counter[int]) -> None:
    checkpoint = tmp_path / "fit.jsonl"
    measure_all(checkpoint)
    assert next(iter(read_checkpoint(checkpoint))).network == timed(0, [gemm(2, 2, 2)])
    checkpoint.write_bytes(b"\xff\xfe garbage\n[]\n{}\n" + checkpoint.read_bytes())
    assert len(list(read_checkpoint(checkpoint))) == 7


def test_no_network_is_begun_when_the_budget_is_spent(tmp_path: Path, quick: Counter[int]) -> None:
    assert measure_all(tmp_path / "fit.jsonl", budget_s=0.0) == []
    assert not quick
    measure_all(tmp_path / "fit.jsonl", budget_s=1e-9)
    assert quick == {0: 1}


def test_a_checkpoint_that_cannot_be_written_is_one_line(tmp_path: Path, quick: Counter[int]) -> None:
    (tmp_path / "cache").write_text("a file, not a folder")
    with pytest.raises(OffloadError, match="cannot write") as raised:
        measure_all(tmp_path / "cache" / "fit.jsonl")
    assert "OFFLOAD_HOME" in raised.value.hint


def test_networks_are_written_in_more_than_one_version_of_onnx() -> None:
    models = [onnx.load_from_string(sampled_network(number).onnx) for number in range(12)]
    assert {model.opset_import[0].version for model in models} == {18, 20}
    assert all(
        model.opset_import[0].version == 20
        for model in models
        if any(node.op_type == "Gelu" for node in model.graph.node)
    )

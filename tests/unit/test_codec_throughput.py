"""The benchmark of codecs' throughput, on a network small enough for every test run."""

from __future__ import annotations

import re

import pytest
import torch

from benchmarks import codec_throughput
from benchmarks.codec_throughput import CodecAtCut, Timing
from offload.training.deepcod import DeepCod
from tests import tiny_training

CPU = torch.device("cpu")


def test_every_column_is_measured(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(codec_throughput, "WINDOW_S", 0.0)
    monkeypatch.setattr(codec_throughput, "load_model", lambda spec: tiny_training.model())
    codec_throughput.main(["--quick", "--at", "input", "conv1", "--device", "cpu", "--threads", "1"])
    told, _, *lines = capsys.readouterr().out.splitlines()
    assert "images/s" in told
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert tuple(cells[0]) == codec_throughput.COLUMNS
    network, *codecs = cells[2:]
    assert network[4:6] == ["–", "–"]
    assert [row[0] for row in codecs] == ["input", "conv1"]
    for row in codecs:
        assert row[3] == "2"
        assert all(re.fullmatch(r"[\d,.e+]+", cell) and float(cell.replace(",", "")) > 0 for cell in row[4:])


def test_a_step_trains_the_codec_and_not_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    here = CodecAtCut(tiny_training.model(), "conv1", Timing(device=CPU, repeats=1))
    images = codec_throughput.random_images(4, here.image_shape, CPU)
    with torch.no_grad():
        tensors, *teacher = here.intact(images)
    made: list[DeepCod] = []
    own = CodecAtCut.codec
    monkeypatch.setattr(CodecAtCut, "codec", lambda self, tensors: made.append(own(self, tensors)) or made[-1])
    step = here._step(tensors, teacher)
    (codec,) = made
    before = {name: weight.clone() for name, weight in codec.named_parameters()}
    frozen = [weight.clone() for weight in here.tail.parameters()]
    step()
    moved = {name for name, weight in codec.named_parameters() if not torch.equal(weight, before[name])}
    assert {"encoder.parametrizations.weight.original", "centres", "decoder.last.weight"} <= moved
    assert all(torch.equal(old, new) for old, new in zip(frozen, here.tail.parameters(), strict=True))


def test_memory_that_runs_out_is_a_dash() -> None:
    def grasping() -> None:
        raise torch.OutOfMemoryError

    rate = Timing(device=CPU, repeats=1).images_per_s(grasping, 64)
    assert rate is None
    assert codec_throughput.row("input", (1, 3), 7, 64, (rate, 2.0, None, 1234.5)).endswith(
        "| 64 | – | 2 | – | 1,234 |"
    )


def test_images_per_second_count_every_call_and_image(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(codec_throughput.time, "perf_counter", lambda: now[0])

    def call() -> None:
        now[0] += 0.02

    assert Timing(device=CPU, repeats=3).images_per_s(call, 32) == pytest.approx(32 / 0.02)

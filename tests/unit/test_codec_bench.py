"""Benches of codecs: what they say of accuracy and size, and what plans make of them."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import numpy as np
import pytest

from offload.api import codec_benches as codec_benches_api
from offload.api.codecs import CodecTrainRequest
from offload.artifacts.codec import EpochRecord
from offload.artifacts.codec_bench import CodecBench, payload_estimate
from offload.artifacts.link import Link
from offload.artifacts.plan import Plan
from offload.artifacts.workspace import Workspace
from offload.codecs.catalogue import default_texts, make_codec
from offload.codecs.trained import TrainedFiles
from offload.datasets.base import PixelScale
from offload.errors import OffloadError, UsageError
from offload.graph.cuts import make_cut
from offload.graph.model_graph import Tensor
from offload.planners.codings import codings_of, decoding_factor
from offload.planners.plan import load_planner, make_plan
from offload.profilers import codec_bench as codec_bench_profiler
from offload.profilers.codec_bench import CodecTimes, TimedCodec, stage_ends, time_codecs
from offload.profilers.codec_candidates import TUNED, Tuning, plain_candidates, trained_candidates
from offload.progress import NullProgress
from offload.reports.codec_bench import codec_bench_picture
from offload.reports.render import render
from offload.runtimes.onnxruntime import OnnxRuntime
from offload.training.places import Place
from tests import codec_benches, made_codecs, synthetic

DEVICE = synthetic.profile()
CROSSING = DEVICE.graph.tensors[1]
BENCH = codec_benches.bench(
    DEVICE,
    (
        codec_benches.row(CROSSING, sizes=(90, 110), errors=((0.0, 1.0, 1.0, 0.0), (0.0, 1.0, 0.0, 0.0))),
        codec_benches.row(
            CROSSING, codec="jpeg:quality=5", method="JPEG q5", tail="fine-tuned", trained_steps=100,
        ),
        codec_benches.row(
            CROSSING, codec="deepcod@0123456789ab", method="DeepCOD", encoder=codec_benches.SIZE,
            decoder=codec_benches.SIZE, sizes=(40, 40), trained_steps=750,
        ),
        codec_benches.row(CROSSING, codec="deepcod@ba9876543210", method="random encoder", ablation=True),
    ),
)  # fmt: skip


def test_accuracy_is_the_mean_over_seeds_and_its_change_is_paired() -> None:
    assert BENCH.intact_accuracy == 0.75
    two_seeds, *_, exact = BENCH.rows[:3]
    assert BENCH.accuracy(two_seeds) == pytest.approx((0.5 + 0.75) / 2)
    change = BENCH.accuracy_change(two_seeds)
    assert change.value == pytest.approx(-0.125)
    assert change.low < change.value < change.high <= 0
    same = BENCH.accuracy_change(exact)
    assert (same.value, same.low, same.high) == (0, 0, 0)  # paired: the same answers leave no doubt


def test_the_interval_of_a_change_is_as_wide_as_theory_says() -> None:
    generator = np.random.default_rng(1)
    wrong = generator.random(2000) < 0.05
    row = codec_benches.row(CROSSING, errors=(tuple(map(float, wrong)),))
    bench = codec_benches.bench(DEVICE, (row,), weights=(1.0,) * 2000, intact_errors=(0.0,) * 2000)
    change = bench.accuracy_change(row)
    half = 1.96 * (wrong.mean() * (1 - wrong.mean()) / 2000) ** 0.5
    assert (change.high - change.low) / 2 == pytest.approx(half, rel=0.2)


def test_errors_of_sequences_count_against_their_lengths() -> None:
    row = codec_benches.row(CROSSING, errors=((2.0, 0.0, 0.0, 0.0),))
    bench = codec_benches.bench(DEVICE, (row,), weights=(4.0, 6.0, 5.0, 5.0), intact_errors=(0.0,) * 4)
    assert bench.accuracy(row) == pytest.approx(1 - 2 / 20)
    assert bench.accuracy_change(row).value == pytest.approx(-0.1)


def test_a_regression_behind_a_bad_codec_is_told_planned_and_read_again() -> None:
    # squared errors of answers in the thousands, several times their variance
    row = codec_benches.row(CROSSING, codec="lossy:bits=1", errors=((3e7, 9e7, 3e7, 3e7),))
    bench = codec_benches.bench(DEVICE, (row,), task="regression", weights=(1e7,) * 4, intact_errors=(1e6,) * 4)
    assert CodecBench.from_json(bench.to_json(), source="b.json").accuracy(row) == pytest.approx(-3.5)
    link = Link(uplink_bps=1e6, downlink_bps=1e6, rtt_s=0.0)
    problem = dataclasses.replace(synthetic.problem(link=link), codings=codings_of(bench, DEVICE, DEVICE))
    plan = make_plan(problem, planner=load_planner("deepcod"), device_hash="d", server_hash="s", codec_data="made-up")
    again = Plan.from_json(plan.to_json(), source="plan.json")
    assert again.chosen.coding is not None
    assert again.chosen.coding.accuracy == pytest.approx(-3.5)


@pytest.mark.parametrize("changes", [{"intact_errors": (0.0,)}, {"weights": ()}])
def test_a_bench_whose_examples_do_not_agree_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="example"):
        codec_benches.bench(DEVICE, BENCH.rows, **changes)


def test_a_damaged_bench_is_refused_in_a_line() -> None:
    text = BENCH.to_json().replace('"payload_bytes": [\n    90', '"payload_bytes": [\n    -90')
    with pytest.raises(OffloadError, match=r"damaged at rows\.0\.payload_bytes"):
        CodecBench.from_json(text, source="b.json")


def test_plans_take_rows_that_can_be_executed() -> None:
    codings = codings_of(BENCH, DEVICE, DEVICE)
    assert list(codings) == [CROSSING.name]
    assert [coding.codec for coding in codings[CROSSING.name]] == ["int8+zstd", "deepcod@0123456789ab"]
    first = codings[CROSSING.name][0]
    assert first.payload_bytes.value == 90  # of two seeds the one that is deployed
    assert first.accuracy == 0.5
    assert first.encode_s.value == pytest.approx(0.001)
    assert first.decode_s.value == pytest.approx(0.002)
    assert codings[CROSSING.name][1].decoder_bytes == 4 * 240


def test_codecs_are_chosen_by_family_or_by_text() -> None:
    assert [c.codec for c in codings_of(BENCH, DEVICE, DEVICE, codecs=["deepcod"])[CROSSING.name]] == [
        "deepcod@0123456789ab"
    ]
    assert len(codings_of(BENCH, DEVICE, DEVICE, codecs=["int8+zstd", "deepcod"])[CROSSING.name]) == 2
    with pytest.raises(UsageError, match="webp"):
        codings_of(BENCH, DEVICE, DEVICE, codecs=["webp"])
    with pytest.raises(UsageError, match="names no codec"):
        codings_of(BENCH, DEVICE, DEVICE, codecs=[])


def test_a_bench_of_another_model_is_refused() -> None:
    other = BENCH.model_copy(update={"model": synthetic.identity(hash="f" * 64)})
    with pytest.raises(OffloadError, match="ffffffffffff"):
        codings_of(other, DEVICE, DEVICE)


def test_decoders_on_another_server_count_as_the_whole_model_does() -> None:
    assert decoding_factor(BENCH, DEVICE, DEVICE) == 1
    faster = synthetic.profile(source="assumed")
    expected = faster.whole.value / DEVICE.whole.value
    assert decoding_factor(BENCH, DEVICE, faster) == expected


def test_a_plan_carries_the_codec_it_chose() -> None:
    link = Link(uplink_bps=1e6, downlink_bps=1e6, rtt_s=0.0)
    problem = dataclasses.replace(
        synthetic.problem(link=link), codings=codings_of(BENCH, DEVICE, DEVICE), intact_accuracy=0.75
    )
    plan = make_plan(problem, planner=load_planner("deepcod"), device_hash="d", server_hash="s", codec_data="made-up")
    words = render(plan, "table")
    assert plan.chosen.coding is not None  # 10 ms here, 40 B, 0.5 ms there; 15 ms here alone, 19 ms for 2400 B
    assert plan.codec == plan.chosen.coding.codec == "deepcod@0123456789ab"
    assert plan.chosen.uplink_bytes == 40
    assert "40 of 2 400 B as DeepCOD" in plan.chosen.words
    assert "accuracy 75.0%, +0.0%" in words
    assert plan.codec_data == "made-up"
    assert plan.policy is None
    assert "pairs of a cut and a codec were compared" in words


def test_the_report_has_every_method_and_its_size() -> None:
    bench = BENCH.model_copy(update={"link": Link(uplink_bps=8e6, downlink_bps=8e6, rtt_s=0.0)})
    told = render(bench, "table", width=250)
    assert "JPEG q5, tuned tail" in told
    assert "100 B" in told
    assert "trained on what the codec leaves, 3200 examples" in told
    assert "learned codecs: trained on 24000 examples" in told
    assert "-12.5 %" in told
    lines = render(bench, "csv").splitlines()
    assert len(lines) == 1 + len(BENCH.rows)
    header, first = lines[0].split(","), lines[1].split(",")
    record = dict(zip(header, first, strict=True))
    assert float(record["mean_bytes"]) == 100
    assert float(record["mean_bytes_without_header"]) == 96
    assert float(record["of_uint8_input"]) == pytest.approx(100 / 3072)
    assert float(record["of_tensor"]) == pytest.approx(100 / CROSSING.size_bytes)
    assert float(record["transfer_s"]) == pytest.approx(100 * 8 / 8e6)


def test_sizes_hold_most_examples() -> None:
    row = codec_benches.row(CROSSING, sizes=tuple(range(100, 200)))
    size = payload_estimate(row)
    assert size.low < size.value < size.high
    assert size.value == pytest.approx(149.5)


def test_the_picture_has_a_panel_for_each_cut() -> None:
    picture = codec_bench_picture(BENCH)
    assert len(picture.panels) == 1
    assert {series.label for series in picture.panels[0].series} >= {"intact", "DeepCOD", "JPEG tuned"}


def test_a_bench_looks_at_the_ends_of_stages() -> None:
    def at(*floats: int, most: int = 3) -> list[str]:
        graph = synthetic.chain(floats, [1] * (len(floats) - 1))
        plain = tuple(dataclasses.replace(layer, kind="linear") for layer in graph.layers)
        graph = dataclasses.replace(graph, layers=plain)
        return stage_ends(graph, [tensor.name for tensor in graph.tensors], most=most)

    assert at(8, 8, 4, 4, 4, 2) == ["t0", "t3", "t4"]
    assert at(*range(1, 21)) == ["input", "t9", "t18"]
    alike = at(8, 8, 8, 8, 8, 8)
    assert len(alike) == 3
    assert alike[-1] == "t4"


def test_a_bench_passes_over_what_an_activation_reads() -> None:
    graph = synthetic.chain()  # conv, activation, linear
    assert stage_ends(graph, [tensor.name for tensor in graph.tensors], most=9) == ["input", "t1", "t2"]


def _trained(
    root: Path, *, seed: int, epochs: int, stopped: Literal["done", "interrupted"] = "done", labelled: bool = False
) -> TrainedFiles:
    model: Any = SimpleNamespace(name="m", hash="0" * 64)
    tensor = Tensor(name="t", shape=(1, 4, 2, 2), dtype="float32")
    files = made_codecs.quantiser(root, model, tensor, coding="packed", step=1.0 + seed + epochs)
    record = EpochRecord(loss=1.0, validation_loss=1.0, error_rate=None, took_s=1.0)
    training = dataclasses.replace(
        files.manifest.training, seed=seed, epochs=(record,) * epochs, stopped=stopped, distilled=True,
        encoder_trained=True, labelled=labelled,
    )  # fmt: skip
    return dataclasses.replace(files, manifest=files.manifest.model_copy(update={"training": training}))


def test_a_seed_counts_once_as_it_was_trained_longest(tmp_path: Path) -> None:
    files = [
        _trained(tmp_path, seed=0, epochs=5),
        _trained(tmp_path, seed=0, epochs=1),
        _trained(tmp_path, seed=0, epochs=9, stopped="interrupted"),
        _trained(tmp_path, seed=1, epochs=4),
    ]
    graph = synthetic.chain()
    place = Place(cut=make_cut(graph, ()), tensor=files[0].manifest.tensor, layer="conv")
    (candidate,) = trained_candidates(files, place, OnnxRuntime(), threads=1)
    assert candidate.trained_steps == 5  # of one example each
    assert {codec.text for codec in candidate.codecs} == {files[0].manifest.text, files[3].manifest.text}


def test_a_codec_that_was_taught_labels_is_a_method_of_its_own(tmp_path: Path) -> None:
    files = [_trained(tmp_path, seed=0, epochs=epochs, labelled=epochs == 2) for epochs in (1, 2)]
    place = Place(cut=make_cut(synthetic.chain(), ()), tensor=files[0].manifest.tensor, layer="conv")
    candidates = trained_candidates(files, place, OnnxRuntime(), threads=1)
    assert [candidate.method for candidate in candidates] == ["DeepCOD", "DeepCOD, labels"]


@pytest.mark.parametrize(
    ("quick", "labelled", "trained_again"), [(True, False, False), (False, False, True), (True, True, True)]
)
def test_what_a_quick_bench_trained_is_there_for_quick_ones_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quick: bool, labelled: bool, trained_again: bool
) -> None:
    brief = _trained(tmp_path, seed=0, epochs=1, labelled=labelled)
    asked: list[CodecTrainRequest] = []

    def train(request: CodecTrainRequest, **_: object) -> tuple[()]:
        asked.append(request)
        return ()

    monkeypatch.setattr(codec_benches_api, "find_trained", lambda *_: [brief])
    monkeypatch.setattr(codec_benches_api, "train_codecs", train)
    request = codec_benches_api.CodecBenchRequest(model="m", data="made", codecs=("deepcod",), quick=quick)
    place = Place(cut=make_cut(synthetic.chain(), ()), tensor=brief.manifest.tensor, layer="conv")
    model: Any = SimpleNamespace(hash="0" * 64)
    codec_benches_api._train_missing(request, model, [place], Workspace(tmp_path), NullProgress())
    whole = [each for each in asked if each.distilled and each.encoder_trained]
    assert len(whole) == trained_again
    assert len(asked) - len(whole) == 2  # the ablations


def test_of_a_family_the_setting_with_the_smallest_payload_gets_a_tuned_tail() -> None:
    tensor = Tensor(name="x", shape=(1, 3, 16, 16), dtype="float32")
    texts = default_texts(tensor, pixels=PixelScale())
    image = np.random.default_rng(0).random(tensor.shape, np.float32)
    for family in TUNED:
        sizes = [len(make_codec(text, tensor).encode(image)) for text in texts if text.startswith(family + ":")]
        assert len(sizes) > 1
        assert sizes == sorted(sizes)


@pytest.mark.parametrize(
    ("shape", "families"),
    [((1, 3, 16, 16), {"jpeg", "webp", "interpolate", "cs-dct"}), ((1, 8, 16, 16), {"lossy", "interpolate", "cs-dct"})],
)
def test_baselines_have_tails_of_their_own(shape: tuple[int, ...], families: set[str]) -> None:
    tensor = Tensor(name="x", shape=shape, dtype="float32")
    image = shape[1] == 3
    place = Place(cut=make_cut(synthetic.chain(), ()), tensor=tensor, layer="input")
    model: Any = SimpleNamespace(graph=SimpleNamespace(inputs=["x"] if image else ["image"]))
    data: Any = SimpleNamespace(pixels=PixelScale() if image else None)
    tuning = Tuning(data=data, examples=1, steps=1)
    found = [each for each in plain_candidates(model, place, data, tuning=tuning) if each.tune is not None]
    assert len(found) == len(families)
    assert {each.codecs[0].text.partition(":")[0] for each in found} == families


@pytest.mark.parametrize("round_", [1, 2])
def test_an_interrupt_keeps_the_rounds_of_timing_before_it(round_: int) -> None:
    tensor = Tensor(name="x", shape=(1, 4), dtype="float32")
    codecs = [make_codec(text, tensor) for text in ("fp16", "int8")]

    class Interrupting:
        lossless, max_bytes, text, tensor = True, 16, "it", codecs[0].tensor
        calls = 0

        def encode(self, array: Any) -> bytes:
            self.calls += 1
            if self.calls > 2 * (round_ - 1):  # two calls a round
                raise KeyboardInterrupt
            return bytes(16)

        def decode(self, payload: bytes) -> Any:
            return np.zeros((1, 4), np.float32)

    def timed() -> list[CodecTimes]:
        halves: Any = SimpleNamespace(crossing=lambda inputs: inputs)
        jobs = [
            TimedCodec(codec=codec, halves=halves, one=np.zeros((1, 1, 4), np.float32))
            for codec in (codecs[0], Interrupting(), codecs[1])
        ]
        return time_codecs(jobs, OnnxRuntime(), threads=1, rounds=3, progress=NullProgress())[0]

    if round_ == 1:
        with pytest.raises(KeyboardInterrupt):
            timed()
    else:
        assert [len(each.decode_s) for each in timed()] == [2, 1, 1]


def test_an_encoder_is_timed_right_after_the_layers_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []

    class Told:
        lossless, max_bytes, text = True, 16, "it"
        tensor = Tensor(name="x", shape=(1, 4), dtype="float32")

        def encode(self, array: Any) -> bytes:
            assert array.shape == (1, 4)
            told.append("encode")
            return b""

        def decode(self, payload: bytes) -> Any:
            told.append("decode")

    def crossing(inputs: Any) -> Any:
        told.append("head")
        return inputs

    monkeypatch.setattr(codec_bench_profiler, "_rest", lambda: told.append("rest"))
    halves: Any = SimpleNamespace(crossing=crossing)
    job = TimedCodec(codec=Told(), halves=halves, one=np.zeros((1, 1, 4), np.float32))
    time_codecs([job], OnnxRuntime(), threads=1, rounds=1, progress=NullProgress())
    assert told == ["head", "encode", "rest", "head", "encode", "decode", "rest", "decode"]


@pytest.mark.parametrize(("codecs", "says"), [(("packed",), "--codecs packed"), ((), "--codecs names no family")])
def test_families_that_a_bench_has_none_of_are_refused_before_anything_is_loaded(
    tmp_path: Path, codecs: tuple[str, ...], says: str
) -> None:
    request = codec_benches_api.CodecBenchRequest(model="nothing", data="nothing", codecs=codecs)
    with pytest.raises(UsageError, match=says) as caught:
        codec_benches_api.bench_codecs(request, workspace=Workspace(tmp_path))
    assert "webp" in caught.value.hint
    assert "packed" not in caught.value.hint

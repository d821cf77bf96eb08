"""Accuracy over the wire against what was promised: paired intervals, the verdict, the report."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from offload.artifacts.estimate import Estimate
from offload.artifacts.plan import Coding, Option
from offload.artifacts.verification import Measurement, Verification
from offload.artifacts.wire_accuracy import WireAccuracy, beyond_promise
from offload.datasets.base import Dataset, Task
from offload.graph.model_graph import Tensor
from offload.progress import NullProgress
from offload.reports.render import render
from offload.runtimes.base import Session
from offload.verification import caveats
from offload.verification.accuracy import Examples, draw_examples, measure_accuracy
from offload.verification.charges import waiting_of
from offload.verification.deployment import Deployed
from offload.verification.verify import options_by_role, verdict_of
from tests import synthetic


def accuracy(wrong: int, intact_wrong: int, examples: int = 400) -> WireAccuracy:
    """The first examples are those that are wrong, the intact model's among them."""
    return WireAccuracy(
        data="digits",
        task="classification",
        errors=(1.0,) * wrong + (0.0,) * (examples - wrong),
        intact_errors=(1.0,) * intact_wrong + (0.0,) * (examples - intact_wrong),
        weights=(1.0,) * examples,
        payload_bytes=(100, 300) * (examples // 2),
    )


def coding(change: float, within: float, codec: str = "deepcod@0123456789ab") -> Coding:
    return Coding(
        codec=codec, method="DeepCOD", payload_bytes=Estimate(value=150.0, low=100.0, high=320.0),
        encode_s=Estimate.exactly(0.001), decode_s=Estimate.exactly(0.001), accuracy=0.9,
        accuracy_change=Estimate(value=change, low=change - within, high=change + within),
    )  # fmt: skip


def coded(option: Option, change: float = -0.01, within: float = 0.005, codec: str = "deepcod@0123456789ab") -> Option:
    return dataclasses.replace(option, coding=coding(change, within, codec))


def verified(measured: WireAccuracy, change: float, within: float, *, factor: float = 1.0) -> Verification:
    chosen = synthetic.measurement(coded(synthetic.plan().server_only, change, within), factor=factor)
    return synthetic.verification(chosen=dataclasses.replace(chosen, accuracy=measured))


def test_the_interval_is_that_of_paired_differences() -> None:
    measured = accuracy(60, 40)
    assert (measured.accuracy, measured.intact_accuracy) == (pytest.approx(0.85), pytest.approx(0.9))
    change = measured.change
    assert change.value == pytest.approx(-0.05)
    # 20 of 400 paired differences are -1: their mean's standard error, against which unpaired accuracies' is 0.023.
    error = float(np.sqrt(0.05 * 0.95 / 400))
    assert change.low == pytest.approx(-0.05 - 1.96 * error, abs=0.004)
    assert change.high == pytest.approx(-0.05 + 1.96 * error, abs=0.004)
    assert accuracy(40, 40).change == Estimate.exactly(0.0)


def test_errors_count_against_their_weights() -> None:
    measured = WireAccuracy(
        data="d", task="ctc", errors=(1.0, 3.0), intact_errors=(0.0, 3.0), weights=(2.0, 6.0), payload_bytes=()
    )
    assert measured.accuracy == pytest.approx(1 - 4 / 8)
    assert measured.intact_accuracy == pytest.approx(1 - 3 / 8)
    assert measured.change.value == pytest.approx(measured.accuracy - measured.intact_accuracy)


@pytest.mark.parametrize(
    ("wrong", "change", "within", "verdict"),
    [
        (60, -0.05, 0.01, "within tolerance"),
        (60, 0.0, 0.0, "less accurate than promised"),
        (60, -0.01, 0.01, "less accurate than promised"),
        (60, -0.03, 0.03, "within tolerance"),
        (40, -0.05, 0.0, "within tolerance"),
        (41, 0.0, 0.0, "within tolerance"),
    ],
)
def test_what_is_below_the_promise_beyond_chance_fails(wrong: int, change: float, within: float, verdict: str) -> None:
    made = verified(accuracy(wrong, 40), change, within)
    assert verdict_of(made) == verdict
    assert ("less accurate than promised, beyond chance" in " ".join(render(made, "table").split())) == (
        verdict == "less accurate than promised"
    )


def test_accuracy_fails_before_latency_does() -> None:
    assert verdict_of(verified(accuracy(80, 40), 0.0, 0.0, factor=3.0)) == "less accurate than promised"
    assert verdict_of(verified(accuracy(40, 40), 0.0, 0.0, factor=3.0)) != "within tolerance"


def test_what_was_promised_of_no_codec_is_no_change() -> None:
    option = synthetic.plan().server_only
    assert beyond_promise(option, accuracy(40, 40)) == Estimate.exactly(0.0)
    assert beyond_promise(option, accuracy(80, 40)).high < 0


def test_the_report_tells_accuracy_sizes_and_what_was_measured_apart() -> None:
    made = verified(accuracy(44, 40), -0.01, 0.005)
    measured = dataclasses.replace(made.chosen, decoder_s=0.0021)
    text = " ".join(render(made.model_copy(update={"chosen": measured}), "table", width=200).split())
    assert "Accuracy over the wire, 400 examples of digits (classification)" in text
    assert "90.0% 89.0% -1.0 %" in text
    assert "deepcod@0123456789ab 150 B 100 – 320 B 200 B" in text
    assert "the decoder is part of the server's model; measured apart, alone, it took 2.1" in text
    assert "Payloads" not in render(synthetic.verification(), "table")


def test_the_same_layers_behind_other_codecs_are_other_options() -> None:
    plan = synthetic.plan()
    options = [coded(plan.server_only, codec=name) for name in ("int8", "fp16", "int8")]
    made = plan.model_copy(update={"chosen": options[0], "alternatives": tuple(options)})
    found = options_by_role(made, alternatives=9)
    assert [option.codec for option in found.values()] == ["int8", "raw", "raw", "fp16"]
    measured = synthetic.verification(
        chosen=synthetic.measurement(options[0]), alternatives=(synthetic.measurement(options[1]),)
    )
    assert set(measured.regret.over) >= {"server-only", "alternative 1"}


def test_encoding_draws_the_power_of_computing_and_does_not_idle() -> None:
    plan = synthetic.energy_plan()
    waiting, whole = waiting_of(plan), plan.server_only.breakdown
    breakdown = dataclasses.replace(whole, encode_s=Estimate.exactly(0.004), device_j=Estimate.exactly(0.008))
    option = coded(dataclasses.replace(plan.server_only, breakdown=breakdown))
    (sample, *_) = synthetic.measurement(plan.server_only).samples
    made, joules = synthetic.verification(target="energy", waiting=waiting), []
    for encode_s in (0.004, 0.008):
        latency_s = sample.latency_s - sample.encode_s + encode_s
        taken = (dataclasses.replace(sample, encode_s=encode_s, latency_s=latency_s),)
        found = made.costs(Measurement(option=option, samples=taken, stable=True), "energy")
        assert found is not None
        joules += found
    assert joules[1] - joules[0] == pytest.approx(0.008)
    away_s = sample.latency_s - sample.encode_s - sample.device_s
    assert waiting is not None
    assert breakdown.radio_j is not None
    assert breakdown.download_j is not None
    fixed_j = breakdown.radio_j.value + breakdown.download_j.value + waiting.joules(option, away_s=away_s)
    assert joules[0] == pytest.approx(0.008 + fixed_j)


class Answers:
    """A data set whose examples are their own numbers, and what answers them: the model, or an option behind it."""

    name, pixels = "made", None

    def __init__(self, task: Task, answers: np.ndarray, labels: list[object]) -> None:
        self.task, self.answers, self.asked = task, answers, labels

    def __len__(self) -> int:
        return len(self.asked)

    def inputs(self, indices: list[int]) -> np.ndarray:
        return np.array(indices)

    def labels(self, indices: list[int]) -> list[object]:
        return [self.asked[index] for index in indices]

    def run(self, feeds: dict[str, np.ndarray], *, slowed: bool | None = None) -> object:
        outputs = {"y": self.answers[int(feeds["x"][0])]}
        return outputs if slowed is None else (outputs, SimpleNamespace(payload_bytes=7))


def ask(intact: Answers, wire: Answers, indices: tuple[int, ...]) -> WireAccuracy:
    found, interrupted = measure_accuracy(
        [cast(Deployed, SimpleNamespace(session=wire))],
        Examples(dataset=cast(Dataset, intact), indices=indices, input="x", output="y"),
        whole=cast(Session, intact),
        progress=NullProgress(),
    )
    assert not interrupted
    return found[0]


def test_a_regression_is_weighed_by_all_its_labels() -> None:
    generator = np.random.default_rng(0)
    labels = generator.standard_normal((30, 4))
    intact, wire = (labels[:, None] + spread * generator.standard_normal((30, 1, 4)) for spread in (0.1, 0.3))
    drawn = tuple(range(5, 25))
    made = [Answers("regression", each, list(labels)) for each in (intact, wire)]
    found = ask(*made, drawn)
    total = ((labels[5:25] - labels[5:25].mean(axis=0)) ** 2).sum()
    for accuracy_found, answers in ((found.intact_accuracy, intact), (found.accuracy, wire)):
        assert accuracy_found == pytest.approx(1 - ((answers[5:25, 0] - labels[5:25]) ** 2).sum() / total)
    assert found.payload_bytes == (7,) * 20


def test_detections_are_compared_with_the_intact_models() -> None:
    boxes = np.random.default_rng(0).random((6, 1, 5, 3))
    found = ask(Answers("detection", boxes, [None] * 6), Answers("detection", boxes * 1.1, [None] * 6), (3, 1))
    assert found.intact_errors == (0.0, 0.0)
    assert found.errors == pytest.approx((0.1, 0.1))


def test_sequences_whose_batch_is_their_second_axis() -> None:
    def spoken(tokens: list[int]) -> np.ndarray:
        return np.eye(4)[tokens][:, None]  # steps, batch, tokens and the blank

    intact = np.stack([spoken([0, 3, 1, 3, 2]), spoken([2, 3, 3, 2, 3])])
    wire = np.stack([spoken([0, 3, 1, 3, 1]), spoken([2, 3, 3, 2, 3])])
    labels: list[object] = [(0, 1, 2), (2, 2)]
    found = ask(Answers("ctc", intact, labels), Answers("ctc", wire, labels), (0, 1))
    assert (found.intact_accuracy, found.accuracy) == (1.0, pytest.approx(1 - 1 / 5))


def test_examples_that_the_codec_was_chosen_by_are_left_out_where_there_are_others(tmp_path: Path) -> None:
    inputs, labels = np.zeros((30, 4), np.float32), np.arange(30) % 3
    np.savez(tmp_path / "d.npz", x_train=inputs, y_train=labels, x_test=inputs, y_test=labels)
    tensor = Tensor(name="x", shape=(1, 4), dtype="float32")
    graph: Any = SimpleNamespace(inputs=("x",), outputs=("y",), tensor_by_name={"x": tensor})

    def drawn(chosen_by: int) -> Examples:
        return draw_examples(str(tmp_path / "d.npz"), task=None, samples=10, graph=graph, chosen_by=chosen_by)

    assert drawn(20).fresh
    assert set(drawn(20).indices) == set(range(20, 30))
    assert not drawn(21).fresh
    assert len(set(drawn(21).indices)) == 10


def test_a_codec_that_was_chosen_by_what_it_is_judged_with_is_told_of() -> None:
    verification = synthetic.verification()
    option = dataclasses.replace(verification.chosen.option, coding=coding(0.0, 0.01))
    plan: Any = SimpleNamespace(codec_examples=100, codec_data="d")
    common: Any = {"dataset": None, "indices": (1,), "input": "x", "output": "y"}
    assert caveats._of_codecs(plan, {"chosen": option}, Examples(**common)) == ()
    (told,) = caveats._of_codecs(plan, {"chosen": option}, Examples(**common, fresh=False))
    assert "first 100 test examples" in told
    (made_up,) = caveats._of_codecs(plan, {"chosen": option}, None)
    assert "add --data d" in made_up

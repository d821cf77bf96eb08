"""What every runtime must do, on whatever device: subclasses say which runtime and how models are loaded for it."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import ml_dtypes  # noqa: F401  gives NumPy the dtype bfloat16
import numpy as np
import pytest
import torch
from torch import nn

from offload.artifacts.profile import Precision
from offload.errors import OffloadError
from offload.graph.cuts import Cut, prefix_cuts
from offload.models.load import load_model, load_torch_model
from offload.models.loaded import LoadedModel, LoadedTorchModel
from offload.models.segments import OnnxSegment, Segment
from offload.models.torch_capture import capture
from offload.profilers.layers import random_feeds
from offload.runtimes.base import Runtime
from offload.runtimes.catalogue import runtime_of
from tests.serving_models import add_and_subtract

NETWORKS = {"resnet18": (1, 3, 64, 64), "mobilenet_v2": (1, 3, 64, 64), "unet": (1, 3, 32, 32)}
TOLERANCE = {"fp32": 1e-4, "fp16": 1e-2, "bf16": 8e-2}
"""Relative to the largest output."""


class AddAndSubtract(nn.Module):
    def forward(self, a: torch.Tensor, b: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return a + b, a - b


def torch_arithmetic() -> Segment:
    inputs = {"a": torch.zeros(2, 3), "b": torch.zeros(2, 3)}
    return loaded(AddAndSubtract(), inputs).whole


def onnx_arithmetic() -> Segment:
    return OnnxSegment(onnx=add_and_subtract(), inputs=("a", "b"), outputs=("sum", "difference"))


def loaded(module: nn.Module, inputs: Mapping[str, torch.Tensor]) -> LoadedTorchModel:
    """A torch module as a loaded model."""
    program = capture(module, inputs, name="module")
    return LoadedTorchModel(
        spec="module", name="module", program=program, graph=program.graph, hash=program.hash, weights="", batch=1,
        untrained=True,
    )  # fmt: skip


def run_divided(model: LoadedModel, runtime: Runtime, cut: Cut, feeds: Mapping[str, np.ndarray]) -> dict:
    segments = model.divide(cut)
    known = dict(feeds)
    for segment in (segments.head, segments.tail):
        if segment is not None:
            session = runtime.load(segment, threads=1)
            known |= session.run({name: known[name] for name in segment.inputs})
    return {name: known[name] for name in model.graph.outputs}


def difference(value: np.ndarray, expected: np.ndarray) -> float:
    """The largest, relative to the largest expected value."""
    value, expected = value.astype(np.float64), expected.astype(np.float64)
    return float(np.abs(value - expected).max() / np.abs(expected).max())


@cache
def exported_torch_model(name: str, precision: Precision) -> LoadedTorchModel:
    """A built-in network over small images, exported once for all runtimes."""
    return load_torch_model(name, inputs={"": NETWORKS[name]}, precision=precision)


class RuntimeContract(ABC):
    """Tests of one runtime."""

    precision: Precision = "fp32"

    @abstractmethod
    def runtime(self) -> Runtime:
        """The runtime."""

    def arithmetic(self) -> Segment:
        """Takes float32 `a` and `b` of 2 x 3; their sum and their difference."""
        return torch_arithmetic()

    def foreign(self) -> Segment:
        """A segment of a form that the runtime does not take."""
        return onnx_arithmetic()

    def load(self, name: str) -> LoadedModel:
        """A built-in network, small where that takes no export of its own."""
        return exported_torch_model(name, self.precision)

    @pytest.mark.parametrize("threads", [1, 2])
    def test_it_answers_outputs_by_name(self, threads: int) -> None:
        a, b = np.arange(6, dtype=np.float32).reshape(2, 3), np.ones((2, 3), np.float32)
        segment = self.arithmetic()
        outputs = self.runtime().load(segment, threads=threads).run({"a": a, "b": b})
        assert tuple(outputs) == segment.outputs
        np.testing.assert_array_equal(outputs[segment.outputs[0]], a + b)
        np.testing.assert_array_equal(outputs[segment.outputs[1]], a - b)
        assert outputs[segment.outputs[0]].dtype == np.float32

    def test_inputs_from_the_network_are_read_only_and_may_be_used_again(self) -> None:
        a = np.arange(6, dtype=np.float32).reshape(2, 3)
        a.flags.writeable = False
        session = self.runtime().load(self.arithmetic(), threads=1)
        first = session.run({"a": a, "b": a})
        session.repeat({"a": a, "b": a}, 3)
        for name, value in session.run({"a": a, "b": a}).items():
            np.testing.assert_array_equal(value, first[name])

    @pytest.mark.parametrize(
        "feeds",
        [
            {"a": np.zeros((2, 3), np.float32)},
            {"a": np.zeros((2, 3), np.float32), "b": np.zeros((2, 4), np.float32)},
            {"a": np.zeros((2, 3), np.float32), "b": np.zeros((2, 3), np.float64)},
            {name: np.zeros((2, 3), np.float32) for name in "abc"},
        ],
        ids=["missing", "wrong shape", "wrong dtype", "unknown"],
    )
    def test_feeds_that_do_not_fit_are_one_line(self, feeds: dict[str, np.ndarray]) -> None:
        session = self.runtime().load(self.arithmetic(), threads=1)
        with pytest.raises(OffloadError) as caught:
            session.run(feeds)
        assert "\n" not in caught.value.message
        assert caught.value.hint

    def test_the_other_form_of_a_model_is_refused(self) -> None:
        with pytest.raises(OffloadError) as caught:
            self.runtime().load(self.foreign(), threads=1)
        assert "\n" not in caught.value.message
        assert caught.value.hint

    def test_artifacts_tell_how_to_have_it_again(self) -> None:
        identity = self.runtime().identity(threads=3)
        assert identity.threads == 3
        assert runtime_of(identity).identity(threads=3) == identity

    @pytest.mark.parametrize("name", NETWORKS)
    def test_head_and_tail_are_the_whole(self, name: str) -> None:
        model, runtime = self.load(name), self.runtime()
        feeds = random_feeds(model.graph)
        whole = runtime.load(model.whole, threads=1).run(feeds)
        cuts = list(prefix_cuts(model.graph))
        for cut in [cuts[0], cuts[-1], *random.Random(1).sample(cuts[1:-1], 4)]:
            divided = run_divided(model, runtime, cut, feeds)
            for output, expected in whole.items():
                tensor = model.graph.tensor_by_name[output]
                assert (expected.shape, expected.dtype.name) == (tensor.shape, tensor.dtype)
                assert difference(divided[output], expected) <= TOLERANCE[self.precision], len(cut.device)


class OnnxContract(RuntimeContract):
    """Of a runtime that takes ONNX."""

    @pytest.fixture(autouse=True)
    def exports(self, cache: Path) -> None:
        self.cache = cache

    def arithmetic(self) -> Segment:
        return onnx_arithmetic()

    def foreign(self) -> Segment:
        return torch_arithmetic()

    def load(self, name: str) -> LoadedModel:
        return load_model(name, cache=self.cache)

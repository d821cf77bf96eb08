"""What every runtime must do."""

from __future__ import annotations

import numpy as np
import pytest

from offload.errors import OffloadError
from offload.models.segments import OnnxSegment
from offload.runtimes.base import Runtime
from offload.runtimes.onnxruntime import OnnxRuntime
from tests.serving_models import add_and_subtract


def arithmetic() -> OnnxSegment:
    return OnnxSegment(onnx=add_and_subtract(), inputs=("a", "b"), outputs=("sum", "difference"))


@pytest.fixture(params=[OnnxRuntime()], ids=lambda runtime: runtime.name)
def runtime(request: pytest.FixtureRequest) -> Runtime:
    return request.param


@pytest.mark.parametrize("threads", [1, 2])
def test_it_answers_outputs_by_name(runtime: Runtime, threads: int) -> None:
    a, b = np.arange(6, dtype=np.float32).reshape(2, 3), np.ones((2, 3), np.float32)
    outputs = runtime.load(arithmetic(), threads=threads).run({"a": a, "b": b})
    assert set(outputs) == {"sum", "difference"}
    np.testing.assert_array_equal(outputs["difference"], a - b)


def test_bytes_that_are_no_model_are_one_line() -> None:
    with pytest.raises(OffloadError) as caught:
        OnnxRuntime().load_onnx(b"not a model", threads=1)
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    "feeds",
    [
        {"a": np.zeros((2, 3), np.float32)},
        {"a": np.zeros((2, 3), np.float32), "b": np.zeros((2, 4), np.float32)},
        {"a": np.zeros((2, 3), np.float32), "b": np.zeros((2, 3), np.float64)},
    ],
    ids=["missing", "wrong shape", "wrong dtype"],
)
def test_feeds_that_do_not_fit_are_one_line(runtime: Runtime, feeds: dict[str, np.ndarray]) -> None:
    session = runtime.load(arithmetic(), threads=1)
    with pytest.raises(OffloadError) as caught:
        session.run(feeds)
    assert "\n" not in caught.value.message

"""Whether a model that was made for one sample still means the same when its inputs carry several."""

from __future__ import annotations

from typing import TYPE_CHECKING

from offload.errors import OffloadError
from offload.models.onnx_graph import graph_of_proto

if TYPE_CHECKING:
    from onnx import ModelProto

TOLERANCE = 1e-3
"""Largest difference, relative to the largest output: kernels differ between batch sizes, models that mix samples
differ by far more."""


def check_rebatched(single: ModelProto, several: ModelProto, *, batch: int, name: str) -> None:
    """Run both forms of a model on random samples and compare the first and the last.

    Args:
        single: The model for a batch of 1.
        several: The same model after its inputs' leading dimension became `batch`.
        batch: Samples that `several` takes.
        name: What messages call the model.

    Raises:
        OffloadError: the model fails with several samples, or answers otherwise than sample by sample.
    """
    import numpy as np
    import onnxruntime as ort

    graph = graph_of_proto(single)
    generator = np.random.default_rng(0)
    feeds = {}
    for tensor in (graph.tensor_by_name[name] for name in graph.inputs):
        shape = (batch, *tensor.shape[1:])
        drawn = generator.standard_normal(shape) if tensor.dtype.startswith("float") else np.ones(shape)
        feeds[tensor.name] = drawn.astype(tensor.dtype)
    options = ort.SessionOptions()
    options.log_severity_level = 4
    refusal = OffloadError(
        f"{name}: the model is made for one sample at a time and does not work with a batch of {batch}",
        hint="leave out --batch, or export the model with a dynamic batch",
    )
    try:
        answers = ort.InferenceSession(several.SerializeToString(), options).run(None, feeds)
    except Exception as error:  # onnxruntime raises classes of its own that share no public base
        raise refusal from error
    one = ort.InferenceSession(single.SerializeToString(), options)
    for row in (0, batch - 1):
        for want, have in zip(one.run(None, {k: v[row : row + 1] for k, v in feeds.items()}), answers, strict=True):
            if have.shape != (batch, *want.shape[1:]):
                raise refusal
            expected = want[0].astype(np.float64)
            if not np.max(np.abs(have[row] - expected), initial=0.0) <= TOLERANCE * np.max(np.abs(expected), initial=0):
                raise refusal

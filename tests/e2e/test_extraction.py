"""Head and tail of real networks, run: `full(x) == tail(head(x))`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
from numpy.typing import NDArray

from offload.graph.cuts import Cut, make_cut, prefix_cuts
from offload.graph.model_graph import ModelGraph
from offload.models.extraction import Extractor
from offload.models.load import LoadedModel, load_model
from offload.models.segments import OnnxSegment
from tests.light_models import LARGE, LIGHT_MODELS, light_model_path
from tests.zoo_networks import QUICK

Values = dict[str, NDArray[np.generic]]


def run(onnx: bytes, feeds: Values) -> Values:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    options.add_session_config_entry("session.disable_prepacking", "1")
    session = ort.InferenceSession(onnx, options)
    names = [value.name for value in session.get_outputs()]
    return dict(zip(names, session.run(names, feeds), strict=True))


def random_feeds(graph: ModelGraph) -> Values:
    generator = np.random.default_rng(1)
    tensors = [graph.tensor_by_name[name] for name in graph.inputs]
    return {
        tensor.name: generator.integers(1000, size=tensor.shape)  # ids
        if tensor.dtype == "int64"
        else generator.standard_normal(tensor.shape, dtype=np.float32)
        for tensor in tensors
    }


def run_divided(extractor: Extractor, graph: ModelGraph, cut: Cut, feeds: Values) -> Values:
    segments = extractor.extract(cut)
    known = dict(feeds)
    for segment in (segments.head, segments.tail):
        if segment is not None:
            answers = run(segment.onnx, {name: known[name] for name in segment.inputs})
            assert tuple(answers) == segment.outputs
            for name, value in answers.items():
                assert graph.tensor_by_name[name].shape == value.shape
                assert graph.tensor_by_name[name].dtype == value.dtype.name
            known |= answers
    return {name: known[name] for name in graph.outputs}


def assert_divides(model: LoadedModel, cuts: Sequence[Cut]) -> None:
    feeds = random_feeds(model.graph)
    whole = run(model.onnx, feeds)
    extractor = Extractor(model.onnx, model.graph)
    for cut in cuts:
        divided = run_divided(extractor, model.graph, cut, feeds)
        for name, expected in whole.items():
            if np.issubdtype(expected.dtype, np.integer):  # the likeliest class
                assert np.array_equal(divided[name], expected)
                continue
            scale = float(np.abs(expected).max())
            assert np.isfinite(scale)
            assert scale > 0
            assert float(np.ptp(expected)) > 1e-3 * scale, "a constant output would prove nothing"
            assert float(np.abs(divided[name] - expected).max()) <= 1e-4 * scale, (len(cut.device), name)


def choose(graph: ModelGraph, count: int) -> list[Cut]:
    """Both ends, evenly spread prefixes, the widest crossing, and one that is no prefix."""
    prefixes = list(prefix_cuts(graph))
    inner = prefixes[1:-1]
    chosen = [prefixes[0], prefixes[-1], max(inner, key=lambda cut: len(cut.crossing))]
    chosen += [inner[int(len(inner) * (step + 0.5) / count)] for step in range(count)]
    rightmost = set(range(len(graph.layers)))
    for index in reversed(range(len(graph.layers) * 2 // 3, len(graph.layers))):  # drop every other sink
        if index % 2 and not any(
            user in rightmost for name in graph.layers[index].outputs for user in graph.consumers[name]
        ):
            rightmost.discard(index)
    return [*chosen, make_cut(graph, rightmost)]


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if name == "alexnet" else []) for name in QUICK]
)  # AlexNet's 244 MB are written and read again for each side of each cut
def test_zoo_divides(name: str, cache: Path) -> None:
    model = load_model(name, cache=cache)
    assert_divides(model, choose(model.graph, 3))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["deepface", "densenet121", "inception_v3", "vit_s_16"])
def test_slow_zoo_divides(name: str, cache: Path) -> None:
    model = load_model(name, cache=cache)
    assert_divides(model, choose(model.graph, 2))


@pytest.mark.parametrize(
    ("name", "inside", "tensor"),
    [
        ("gru_tagger", "gru", "gru1.gru"),
        ("deepspeech", "recurrent4.", "recurrent4.rnn"),
        ("transformer_encoder", "blocks.1.attn.", "blocks.1.attn.scaled_dot_product_attention.softmax"),
    ],
)
def test_recurrent_and_attention_layers_are_cut_points(name: str, inside: str, tensor: str, cache: Path) -> None:
    model = load_model(name, cache=cache)
    prefixes = list(prefix_cuts(model.graph))
    found = [index for index, layer in enumerate(model.graph.layers) if layer.name.startswith(inside)]
    cuts = [prefixes[index] for index in (found[0], *(index + 1 for index in found))]
    assert any(tensor in cut.crossing for cut in cuts)
    assert_divides(model, cuts)


@pytest.mark.parametrize("name", [name for name in LIGHT_MODELS if name not in LARGE])
def test_light_models_divide(name: str, tmp_path: Path) -> None:
    model = load_model(str(light_model_path(name, tmp_path)))
    assert_divides(model, choose(model.graph, 4))


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", LARGE)
def test_large_light_models_divide(name: str, tmp_path: Path) -> None:
    model = load_model(str(light_model_path(name, tmp_path)))
    prefixes = list(prefix_cuts(model.graph))
    assert_divides(model, [prefixes[index] for index in (0, 3, len(prefixes) // 2, -5, -1)])


@pytest.mark.parametrize("name", ["resnet50", "unet"])
def test_cuts_inside_blocks_cross_several_tensors(name: str, cache: Path) -> None:
    model = load_model(name, cache=cache)
    widest = max(prefix_cuts(model.graph), key=lambda cut: len(cut.crossing))
    assert len(widest.crossing) == (2 if name == "resnet50" else 5)
    assert_divides(model, [widest])


def test_ends_have_one_side(cache: Path) -> None:
    model = load_model("mobilenet_v2", cache=cache)
    first, *_, last = prefix_cuts(model.graph)
    everything_there, everything_here = model.divide(first), model.divide(last)
    assert everything_there.head is None
    assert everything_there.tail is not None
    assert everything_there.tail.inputs == ("input",)
    assert everything_here.tail is None
    assert everything_here.head is not None
    assert everything_here.head.outputs == ("output",)


def test_sides_carry_only_their_own_weights(cache: Path) -> None:
    model = load_model("resnet18", cache=cache)
    for cut in list(prefix_cuts(model.graph))[5:-1:10]:
        segments = model.divide(cut)
        assert isinstance(segments.head, OnnxSegment)
        assert isinstance(segments.tail, OnnxSegment)
        total = len(segments.head.onnx) + len(segments.tail.onnx)
        assert abs(total - len(model.onnx)) < 0.01 * len(model.onnx)

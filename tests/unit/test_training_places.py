"""Where learned codecs may stand, how tensors look to them, and what they are taught there."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from offload.errors import OffloadError, UsageError
from offload.graph.model_graph import Tensor
from offload.models.load import load_model
from offload.training.examples import as_examples, taught_tensors
from offload.training.layout import layout_of
from offload.training.learned import shaping_of, usual_ratio
from offload.training.places import place_at, places_at, tensors_alone
from tests import tiny_training


def test_a_place_is_named_by_layer_tensor_or_input() -> None:
    graph = tiny_training.model().graph
    by_layer = place_at(graph, "conv1")
    assert by_layer.cut.crossing == (by_layer.tensor.name,)
    assert by_layer.tensor.shape == (1, 6, 16, 16)
    assert place_at(graph, by_layer.tensor.name) == by_layer
    at_input = place_at(graph, "input")
    assert (at_input.cut.device, at_input.tensor.name, at_input.layer) == (frozenset(), graph.inputs[0], "input")


def test_a_cut_of_several_tensors_names_the_nearest_of_one() -> None:
    with pytest.raises(OffloadError, match=r"--at conv2: 2 tensors cross there .* a codec takes one") as caught:
        place_at(tiny_training.model().graph, "conv2")
    named = caught.value.hint.removeprefix("the nearest cuts at one tensor are ").split(" and ")
    assert len(named) == 2
    for name in named:
        assert place_at(tiny_training.model().graph, name).cut.crossing


def test_unknown_names_and_the_last_layer_are_refused() -> None:
    graph = tiny_training.model().graph
    with pytest.raises(OffloadError, match="no layer or tensor of that name") as caught:
        place_at(graph, "convl")
    assert "conv1" in caught.value.hint
    with pytest.raises(OffloadError, match="nothing is left to run"):
        place_at(graph, graph.layers[-1].name)


def test_a_stage_is_answered_with_its_last_layer_at_which_one_tensor_crosses(cache: Path) -> None:
    graph = load_model("digits_resnet", cache=cache).graph
    with pytest.raises(OffloadError, match="--at stage2: the model has no layer") as caught:
        place_at(graph, "stage2")
    assert caught.value.hint == "did you mean stage2.add"
    assert place_at(graph, "stage2.add").cut.crossing == ("stage2.add",)


def test_no_name_and_the_same_name_twice() -> None:
    graph = tiny_training.model().graph
    assert [place.layer for place in places_at(graph, ("conv1", "input", "conv1"))] == ["conv1", "input"]
    with pytest.raises(UsageError, match="--at names no layer"):
        places_at(graph, ())


def test_tensors_that_cross_alone_are_places() -> None:
    graph = tiny_training.model().graph
    alone = tensors_alone(graph)
    assert graph.inputs[0] in alone
    assert "conv2" not in alone
    for name in alone:
        assert place_at(graph, name).tensor.name == name


def test_layers_on_another_branch_run_on_the_device_where_that_leaves_one_tensor() -> None:
    graph = load_model("tests.tiny_torch:branches", inputs={"": (1, 8)}).graph
    place = place_at(graph, "stem")
    assert place.cut.crossing == (place.tensor.name,)


@pytest.mark.parametrize(
    ("shape", "channels", "places"),
    [
        ((1, 6, 9, 7), 6, (9, 7)),
        ((1, 20, 8), 8, (20,)),
        ((20, 1, 8), 8, (20,)),
        ((20, 8), 8, (20,)),
        ((1, 8), 8, (1,)),
    ],
)
def test_tensors_are_turned_to_channels_first_and_back(shape, channels, places) -> None:  # type: ignore[no-untyped-def]
    graph = tiny_training.model("speech").graph
    tensor = Tensor(name=graph.inputs[0], shape=shape, dtype="float32")
    layout = layout_of(graph, tensor)
    x = torch.randn(3, *shape)
    turned = layout.to_channels(x)
    assert turned.shape == (3, channels, *places)
    assert torch.equal(layout.from_channels(turned), x)
    step = turned[0, :, 0] if len(places) == 1 else turned[0, :, 0, 0]
    first = x[0, 0, :, 0, 0] if len(places) == 2 else x[0].reshape(places[0], channels)[0]
    assert torch.equal(step, first)


def test_channels_of_a_convolved_sequence_come_first(cache: Path) -> None:
    graph = load_model("digits_deepspeech", cache=cache).graph
    convolved = next(layer for layer in graph.layers if layer.op == "Conv")
    tensor = graph.tensor_by_name[convolved.outputs[0]]
    assert layout_of(graph, tensor).channels == 128
    assert layout_of(graph, tensor).places == tensor.shape[2:]


@pytest.mark.parametrize(
    ("tensor", "words"),
    [
        (Tensor(name="ids", shape=(1, 64), dtype="int64"), "ids holds int64"),
        (Tensor(name="video", shape=(1, 3, 4, 8, 8), dtype="float32"), "video of shape 1x3x4x8x8"),
        (Tensor(name="two", shape=(2, 3, 8, 8), dtype="float32"), "two of shape 2x3x8x8"),
    ],
)
def test_tensors_that_learned_codecs_cannot_take_are_refused(tensor: Tensor, words: str) -> None:
    with pytest.raises(OffloadError, match=words):
        layout_of(tiny_training.model().graph, tensor)


def test_logits_are_taught_in_place_of_what_a_softmax_makes_of_them() -> None:
    graph = tiny_training.model().graph
    softmax = next(layer for layer in graph.layers if layer.op == "Softmax")
    assert taught_tensors(graph, place_at(graph, "conv1").cut) == softmax.inputs
    speech = tiny_training.model("speech").graph
    assert taught_tensors(speech, place_at(speech, "input").cut) == speech.outputs


def test_examples_hold_the_tensor_and_the_models_answers() -> None:
    found = tiny_training.examples("conv1", "validation")
    assert found.at.shape == (tiny_training.HELD_OUT, 1, 6, 16, 16)
    network = tiny_training.net()
    images = torch.from_numpy(tiny_training.data("validation")[0])
    with torch.no_grad():
        torch.testing.assert_close(found.at[:, 0], network.conv1(images), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(found.answers["output"][:, 0], network(images), rtol=1e-4, atol=1e-5)


def test_examples_of_another_shape_are_refused() -> None:
    graph = tiny_training.model().graph
    with pytest.raises(OffloadError, match="examples are 3x8x8, the model takes 1x3x16x16"):
        as_examples(torch.zeros(2, 3, 8, 8).numpy(), graph)


def test_the_usual_ratio_is_the_papers() -> None:
    model = tiny_training.model()
    assert usual_ratio(model, place_at(model.graph, "input")) == 0.01
    place = place_at(model.graph, "conv1")
    assert usual_ratio(model, place) == pytest.approx(0.005 * 3 / 6)


@pytest.mark.parametrize(("side", "stride"), [(56, 4), (28, 4), (14, 2), (7, 1)])
def test_strides_follow_resnet50_in_the_papers_tables(cache: Path, side: int, stride: int) -> None:
    model = load_model("resnet18", cache=cache)
    tensors = model.graph.tensor_by_name
    relus = [one for one in model.graph.layers if one.op == "Relu"]
    layer = next(one for one in relus if tensors[one.outputs[0]].shape[2:] == (side, side))
    tensor = model.graph.tensor_by_name[layer.outputs[0]]
    place = place_at(model.graph, "input")
    changed = type(place)(cut=place.cut, tensor=tensor, layer=layer.name)
    assert shaping_of(model, changed, ratio=0.01, pixels=None).stride == stride

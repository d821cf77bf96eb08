"""Profiles of real models by the real runtime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from offload.artifacts.profile import ModelIdentity, Profile
from offload.graph.model_graph import ModelGraph
from offload.models.load import LoadedModel, load_model
from offload.profilers.kernel_mapping import map_kernels
from offload.profilers.layers import profile_model
from offload.progress import NullProgress
from offload.runtimes.onnxruntime import OnnxRuntime, create_session, session_options
from tests.light_models import LARGE, LIGHT_MODELS, light_model_path

MODELS = [pytest.param(name, marks=[pytest.mark.slow] if name in LARGE else []) for name in LIGHT_MODELS]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("light")


def identity(model: LoadedModel) -> ModelIdentity:
    return ModelIdentity(
        spec=model.spec, name=model.name, hash=model.hash, batch=1, precision="fp32", weights="", untrained=True,
        inputs={}, weights_file=None,
    )  # fmt: skip


def measured(model: LoadedModel, *, progress: NullProgress | None = None, **settings: float) -> Profile:
    return profile_model(
        model, OnnxRuntime(), identity(model), threads=1, progress=progress, **({"max_time_s": 3.0} | settings)
    )


@pytest.mark.parametrize("name", MODELS)
def test_every_executed_kernel_stands_for_a_few_neighbouring_layers(name: str, folder: Path, tmp_path: Path) -> None:
    model = load_model(str(light_model_path(name, folder)))
    options = session_options(threads=1)
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    create_session(model.onnx, options)
    optimised = onnx.load(tmp_path / "optimised.onnx", load_external_data=False)
    blocks = map_kernels(model.graph, optimised)
    kernels = [name for block in blocks for name in block.kernels]
    assert sorted(kernels) == sorted(node.name for node in optimised.graph.node)
    assert sorted(i for block in blocks for i in block.layers) == list(range(len(model.graph.layers)))
    assert max(len(block.layers) for block in blocks) <= 4
    assert all(block.kernels for block in blocks)


def test_a_profile_adds_up_and_survives_being_written(folder: Path) -> None:
    model = load_model(str(light_model_path("squeezenet", folder)))
    profile = measured(model, power_w=3.2)
    medians = np.median(profile.group_samples_s, axis=0)
    assert (medians > 0).all()
    assert medians.sum() == pytest.approx(profile.whole.value)
    assert profile.whole.low <= profile.whole.value <= profile.whole.high
    assert len(profile.whole_s) == len(profile.profiled_s) == len(profile.waited_s)
    assert len(profile.whole_s) == len(profile.reference_s) == len(profile.empty_call_s)
    convolutions = sum(
        seconds
        for seconds, group in zip(medians, profile.groups, strict=True)
        if any(profile.graph.layers[i].kind == "conv" for i in group.layers)
    )
    assert convolutions > 0.5 * profile.whole.value
    again = Profile.from_json(profile.to_json(), source="the same")
    assert again == profile
    assert again.content_hash == profile.content_hash


def test_the_time_cap_ends_it_and_says_so(folder: Path) -> None:
    model = load_model(str(light_model_path("shufflenet", folder)))
    profile = measured(model, precision=1e-9, max_time_s=0.5)
    assert profile.stopped == "time cap"
    assert profile.precision_reached is not None
    assert profile.precision_reached > 1e-9


class InterruptAfter(NullProgress):
    """Presses Ctrl-C after a number of rounds."""

    def __init__(self, rounds: int) -> None:
        self.left = rounds

    def advance(self, steps: float = 1.0, *, total: float | None = None) -> None:
        self.left -= 1
        if not self.left:
            raise KeyboardInterrupt


def test_an_interrupt_keeps_what_was_measured(folder: Path) -> None:
    model = load_model(str(light_model_path("squeezenet", folder)))
    profile = measured(model, progress=InterruptAfter(5))
    assert profile.stopped == "interrupted"
    assert len(profile.whole_s) == 5


def test_an_interrupt_before_anything_was_measured_is_one(folder: Path) -> None:
    model = load_model(str(light_model_path("squeezenet", folder)))
    with pytest.raises(KeyboardInterrupt):
        measured(model, progress=InterruptAfter(1))


def test_layers_of_a_graph_and_of_its_profile_are_the_same(folder: Path) -> None:
    model = load_model(str(light_model_path("squeezenet", folder)))
    profile = measured(model)
    assert isinstance(profile.graph, ModelGraph)
    assert profile.graph == model.graph

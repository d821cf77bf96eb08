"""Whatever stands in a trace, importing it ends in a profile or in one line."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from offload.api.models import identity_of
from offload.errors import OffloadError
from offload.models.load import load_model, load_torch_model
from offload.models.loaded import LoadedModel
from offload.profilers.imports.catalogue import READERS, tool_of
from offload.profilers.imports.profile import imported_profile
from tests.tiny_torch import branches
from tests.traced_models import TRTEXEC_PROFILE, onnxruntime_trace, torch_trace, two_branches

MUTANTS = 400
VALUES: tuple[Any, ...] = (
    None, True, -1, 0, 1.5, 1e308, -1e308, 10**400, "", "x" * 5000, "two\nlines", [], {}, [[]], [1, "a"], {"a": 1},
    "model_run", "Node", "X", "cpu_op", "kernel", "cuda_runtime", "ProfilerStep#1", "ProfilerStep#999999999", "aten::",
    "{ForeignNode[/head/Gemm.../conv1/Conv]}", "{ForeignNode[a...b]}", "PWN(((", "/", "_kernel_time",
)  # fmt: skip


def places(document: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where something stands in a document."""
    yield path
    keys = document if isinstance(document, dict) else range(len(document)) if isinstance(document, list) else ()
    for key in keys:
        yield from places(document[key], (*path, key))


def spoiled(document: Any, path: tuple[Any, ...], dice: random.Random) -> Any:
    """A copy with something else, or nothing, in one place."""
    made = copy.deepcopy(document)
    if not path:
        return dice.choice(VALUES)
    holder = made
    for key in path[:-1]:
        holder = holder[key]
    if dice.random() < 0.15:
        del holder[path[-1]]
    else:
        holder[path[-1]] = dice.choice(VALUES)
    return made


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("traces")


@pytest.fixture(scope="module")
def models(folder: Path) -> dict[bool, LoadedModel]:
    """The model of the traces, by whether it is torch's."""
    path = folder / "two_branches.onnx"
    path.write_bytes(two_branches().SerializeToString())
    return {True: load_torch_model("tests.tiny_torch:branches", inputs={"x": (1, 8)}), False: load_model(str(path))}


@pytest.mark.parametrize("tool", ["trtexec", "onnxruntime", "torch"])
def test_a_spoiled_trace_is_a_profile_or_one_line(tool: str, folder: Path, models: dict[bool, LoadedModel]) -> None:
    trace = {
        "trtexec": lambda: TRTEXEC_PROFILE,
        "onnxruntime": lambda: onnxruntime_trace(two_branches(), folder, runs=2),
        "torch": lambda: torch_trace(branches(), (1, 8), folder, runs=2, shapes=True),
    }[tool]()
    document = json.loads(trace.read_text(encoding="utf-8"))
    dice, everywhere = random.Random(0), list(places(document))
    refused = []
    for _ in range(MUTANTS):
        mutant = spoiled(document, dice.choice(everywhere), dice)
        try:
            found = tool_of(mutant, None, source=trace)
            model = models[READERS[found].takes_torch]
            identity = identity_of(model, inputs={}, weights=None)
            imported_profile(mutant, found, model, identity, source=trace, device=None, threads=None).to_json()
        except OffloadError as error:
            refused.append(error)
    assert 0 < len(refused) < MUTANTS
    assert all("\n" not in error.message and error.hint for error in refused)

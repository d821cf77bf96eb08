"""Models every server has: for its clock, for measuring the link, and for profiling on the server."""

from __future__ import annotations

import dataclasses
import json
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import numpy as np

from offload.errors import OffloadError
from offload.serving.child_process import ChildError, ChildProcess
from offload.serving.own_models import Sources
from offload.serving.refusal import RefusalError, exhausted, invalid
from offload.serving.tensors import TensorSpec

if TYPE_CHECKING:
    from offload.runtimes.base import Array

PING = "offload-ping"
PROBE_UP = "offload-probe-up"
PROBE_DOWN = "offload-probe-down"
PROFILE = "offload-profile"
MODELS = "offload-models"
MAX_WAIT_S = 1.0
"""The longest that a probe waits before it answers."""
MAX_PROBE_BYTES = 256 * 1024**2
"""The largest answer of `offload-probe-down`."""
_LOADING_S = 100.0
"""What a profile's child may take beside measuring: starting, loading the model, warming up."""


class Ping:
    """Nothing in, nothing out: the response's parameters carry the server's clock."""

    platform = "offload"
    exclusive = False
    inputs: tuple[TensorSpec, ...] = ()
    outputs: tuple[TensorSpec, ...] = ()

    def infer(self, inputs: Mapping[str, Array], cancelled: threading.Event) -> Mapping[str, Array]:
        """No outputs."""
        return {}


_WAIT = TensorSpec(name="wait_s", datatype="FP64", shape=(1,), optional=True)
"""Seconds to wait before answering, as a model computes: an answer takes longer to a client that has waited for it."""


def _wait(inputs: Mapping[str, Array], cancelled: threading.Event) -> None:
    if "wait_s" in inputs:
        seconds = float(inputs["wait_s"][0])
        if not 0 <= seconds <= MAX_WAIT_S:
            raise invalid(f"wait_s must be between 0 and {MAX_WAIT_S:g}, got {seconds:g}")
        cancelled.wait(seconds)


class ProbeUp:
    """Takes `payload` (UINT8 [-1]) and maybe `wait_s` (FP64 [1]), answers the payload's size as `count` (INT64 [1])."""

    platform = "offload"
    exclusive = False
    inputs = (TensorSpec(name="payload", datatype="UINT8", shape=(-1,)), _WAIT)
    outputs = (TensorSpec(name="count", datatype="INT64", shape=(1,)),)

    def infer(self, inputs: Mapping[str, Array], cancelled: threading.Event) -> Mapping[str, Array]:
        """The size of the payload, bytes."""
        _wait(inputs, cancelled)
        return {"count": np.array([inputs["payload"].size], np.int64)}


class ProbeDown:
    """Takes `count` (INT64 [1]) and maybe `wait_s` (FP64 [1]), answers as many bytes as `payload` (UINT8 [count])."""

    platform = "offload"
    exclusive = False
    inputs = (TensorSpec(name="count", datatype="INT64", shape=(1,)), _WAIT)
    outputs = (TensorSpec(name="payload", datatype="UINT8", shape=(-1,)),)

    def infer(self, inputs: Mapping[str, Array], cancelled: threading.Event) -> Mapping[str, Array]:
        """A payload of zeros."""
        count = int(inputs["count"][0])
        if not 0 <= count <= MAX_PROBE_BYTES:
            raise invalid(f"count must be between 0 and {MAX_PROBE_BYTES}, got {count}")
        _wait(inputs, cancelled)
        return {"payload": np.zeros(count, np.uint8)}


class Models:
    """The torch models that the server was started with: `models` (BYTES [1]), a JSON list.

    Each entry holds the fields of a `ServerModel`.

    Args:
        sources: The models.
    """

    platform = "offload"
    exclusive = False
    inputs: tuple[TensorSpec, ...] = ()
    outputs = (TensorSpec(name="models", datatype="BYTES", shape=(1,)),)

    def __init__(self, sources: Sources) -> None:
        self._models = json.dumps([dataclasses.asdict(one) for one in sources.described]).encode()

    def infer(self, inputs: Mapping[str, Array], cancelled: threading.Event) -> Mapping[str, Array]:
        """The list."""
        return {"models": np.array([self._models], np.object_)}


class ProfileInChild:
    """Profiles a model on this machine, in a child process that ends with the request.

    Either input `model` (BYTES [1], a serialised ONNX model) or input `hash` (BYTES [1], of a model that the server was
    started with), optional input `settings` (BYTES [1], a JSON object: `precision`, `max_time_s` and whatever else the
    profiler takes); output `profile` (BYTES [1], the profile artifact as JSON).

    Args:
        threads: Threads to profile on, the server's own number.
        memory_bytes: Private memory the child may use for an uploaded model.
        sources: The server's own models.
        max_time_s: The longest profile a client may ask for; the child is killed when it takes much longer.
        module: The child, which answers `profile=...`.
    """

    platform = "offload"
    exclusive = True
    inputs = (
        TensorSpec(name="model", datatype="BYTES", shape=(1,), optional=True),
        TensorSpec(name="hash", datatype="BYTES", shape=(1,), optional=True),
        TensorSpec(name="settings", datatype="BYTES", shape=(1,), optional=True),
    )
    outputs = (TensorSpec(name="profile", datatype="BYTES", shape=(1,)),)

    def __init__(
        self,
        *,
        threads: int,
        memory_bytes: int,
        sources: Sources | None = None,
        max_time_s: float = 600.0,
        module: str = "offload.serving.profile_child",
    ) -> None:
        self._threads = threads
        self._memory_bytes = memory_bytes
        self._sources = sources or Sources(())
        self._max_time_s = max_time_s
        self._module = module

    def infer(self, inputs: Mapping[str, Array], cancelled: threading.Event) -> Mapping[str, Array]:
        """The profile; see `ServedModel.infer`."""
        settings = self._settings(inputs.get("settings"))
        if ("model" in inputs) == ("hash" in inputs):
            raise invalid(f"'{PROFILE}' takes either the input 'model' or the input 'hash'")
        with tempfile.TemporaryDirectory(prefix="offload-profile-") as folder:
            child_settings = {"folder": folder, "threads": self._threads, "profile": settings}
            if "hash" in inputs:
                source = self._sources.find(inputs["hash"][0].decode(errors="replace"))
                child_settings |= {"own": dataclasses.asdict(source.own), "hash": source.hash}
            else:
                path = Path(folder, "model.onnx")
                path.write_bytes(inputs["model"][0])
                child_settings |= {"path": str(path), "memory_bytes": self._memory_bytes}
            return {"profile": np.array([self._answer(child_settings, cancelled)], np.object_)}

    def _answer(self, child_settings: dict[str, Any], cancelled: threading.Event) -> bytes:
        time_s = child_settings["profile"]["max_time_s"] + _LOADING_S
        with ChildProcess(self._module, {**child_settings, "cpu_s": time_s * self._threads}) as child:
            try:
                profile: str = child.answer(time_s, cancelled)["profile"]
            except ChildError as failure:
                raise exhausted(f"the profile's process {failure.message}") from failure
            except OffloadError as error:
                raise RefusalError(grpc.StatusCode.INVALID_ARGUMENT, error.message) from error
        return profile.encode()

    def _settings(self, tensor: Array | None) -> dict[str, Any]:
        try:
            settings = json.loads(tensor[0]) if tensor is not None else {}
        except (ValueError, RecursionError) as error:
            raise invalid(f"settings is not JSON: {error}") from None
        if not isinstance(settings, dict):
            raise invalid("settings must be a JSON object")
        asked = settings.setdefault("max_time_s", 60.0)
        if isinstance(asked, bool) or not isinstance(asked, int | float) or not 0 < asked <= self._max_time_s:
            raise invalid(f"settings.max_time_s must be above 0 and at most {self._max_time_s:g}, got {asked!r}")
        return settings

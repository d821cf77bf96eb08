"""The models a server holds: built in, uploaded, and tails of its own, each with its counters."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import grpc

from offload.serving.decoding import announced_codecs, coded_inputs
from offload.serving.own_models import OwnTail, Sources, tail_bytes
from offload.serving.refusal import RefusalError, exhausted, invalid, not_found
from offload.serving.served_model import OnnxModel, ServedModel
from offload.serving.statistics import ModelCounters
from offload.serving.tail_request import TailRequest, parse_tail_request, requested_cut
from offload.serving.tensors import TensorSpec
from offload.serving.upload import UploadLimits, check_declared, parse_upload, try_in_child

if TYPE_CHECKING:
    from offload.codecs.base import Codec

VERSION = "1"
"""The one version every model has."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A model and what it has done; requests that hold one finish on it even when it is unloaded or replaced."""

    name: str
    model: ServedModel
    size_bytes: int = 0
    codecs: Mapping[str, Codec] = field(default_factory=dict)
    """How inputs that arrive coded are decoded, by name."""
    counters: ModelCounters = field(default_factory=ModelCounters)

    @cached_property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """What a request must bring."""
        return coded_inputs(self.model.inputs, self.codecs)


class Repository:
    """Models that clients loaded beside a fixed table of built-in ones; safe to use from many threads.

    Args:
        builtins: Models that are always there; no other can take their names.
        limits: What uploads and tails may cost.
        threads: Threads each uploaded model runs on.
        machine: Held while a model is tried and loaded, so that it does not disturb inferences.
        sources: The server's own models, which clients may ask for tails of.
        idle_unload_s: `unload_idle` forgets models that no call has named for so many seconds; 0 keeps all.
        clock: What time is told by, seconds.
    """

    def __init__(
        self,
        builtins: Mapping[str, ServedModel],
        limits: UploadLimits,
        *,
        threads: int,
        machine: threading.Lock,
        sources: Sources | None = None,
        idle_unload_s: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._builtins = {name: Entry(name=name, model=model) for name, model in builtins.items()}
        self._loaded: dict[str, Entry] = {}
        self._named_at_s: dict[str, float] = {}
        """When a call last named each loaded model."""
        self._limits = limits
        self._threads = threads
        self._machine = machine
        self._sources = sources or Sources(())
        self._idle_unload_s = idle_unload_s
        self._clock = clock
        self._loading = threading.Lock()
        self._lock = threading.Lock()

    def __iter__(self) -> Iterator[Entry]:
        with self._lock:
            return iter([*self._builtins.values(), *self._loaded.values()])

    def get(self, name: str, version: str) -> Entry:
        """The entry for a name and version ("" is the only one).

        Raises:
            RefusalError: NOT_FOUND.
        """
        with self._lock:
            entry = self._builtins.get(name) or self._loaded.get(name)
            if name in self._loaded:
                self._named_at_s[name] = self._clock()
        if entry is None:
            raise not_found(name)
        if version not in ("", VERSION):
            raise not_found(name, version)
        return entry

    def load(self, request: Any) -> None:
        """Take what a `RepositoryModelLoadRequest` brings or asks for, replacing a model of the same name.

        Raises:
            RefusalError: the upload or the tail is not acceptable, or over a limit.
        """
        self._refuse_builtin(request.model_name)
        tail = parse_tail_request(request)
        if tail is not None:
            self._load_tail(tail)
            return
        upload = parse_upload(request, self._limits)
        if upload is None:
            with self._lock:
                if request.model_name in self._loaded:
                    return
            raise RefusalError(
                grpc.StatusCode.INTERNAL,
                f"failed to load '{request.model_name}', failed to poll from model repository: "
                "this server keeps no models on disk, upload one",
            )
        with self._loading:
            self._check_room(upload.name, len(upload.onnx))
            with self._machine:
                try_in_child(upload, self._limits, threads=self._threads)
                model = OnnxModel(upload.onnx, threads=self._threads)
            try:
                codecs = announced_codecs(upload.announced, model.inputs)
            except RefusalError as refusal:
                raise RefusalError(refusal.code, f"failed to load '{upload.name}': {refusal.message}") from refusal
            entry = Entry(name=upload.name, model=model, size_bytes=model.size_bytes, codecs=codecs)
            if upload.config is not None:
                check_declared(upload.config, upload.name, entry.inputs, model.outputs)
            self._keep(entry)

    def _load_tail(self, request: TailRequest) -> None:
        source = self._sources.find(request.model_hash)
        cut = requested_cut(source.graph, request)
        with self._loading:
            size_bytes = tail_bytes(source.graph, cut)
            self._check_room(request.name, size_bytes)
            with self._machine:
                try:
                    model = OwnTail(source, cut)
                except RefusalError as refusal:
                    raise RefusalError(refusal.code, f"failed to load '{request.name}': {refusal.message}") from refusal
            self._keep(Entry(name=request.name, model=model, size_bytes=size_bytes))

    def _keep(self, entry: Entry) -> None:
        with self._lock:
            self._loaded[entry.name] = entry
            self._named_at_s[entry.name] = self._clock()

    def unload(self, name: str) -> None:
        """Forget a loaded model; as in Triton, one that is not there is no error.

        Raises:
            RefusalError: it is built in.
        """
        self._refuse_builtin(name)
        with self._lock:
            self._loaded.pop(name, None)
            self._named_at_s.pop(name, None)

    def unload_idle(self) -> tuple[str, ...]:
        """Forget models whose clients have been silent for too long; the names of those."""
        if not self._idle_unload_s:
            return ()
        with self._lock:
            oldest_s = self._clock() - self._idle_unload_s
            idle = tuple(name for name, named_at_s in self._named_at_s.items() if named_at_s <= oldest_s)
            for name in idle:
                del self._loaded[name], self._named_at_s[name]
        return idle

    def _refuse_builtin(self, name: str) -> None:
        if name in self._builtins:
            raise invalid(f"'{name}' is built into this server and can be neither replaced nor unloaded")

    def _check_room(self, name: str, size_bytes: int) -> None:
        with self._lock:
            others = [entry for entry in self._loaded.values() if entry.name != name]
        if len(others) >= self._limits.max_models:
            raise exhausted(
                f"failed to load '{name}': this server holds at most {self._limits.max_models} models, unload one"
            )
        total = sum(entry.size_bytes for entry in others) + size_bytes
        if total > self._limits.max_total_bytes:
            raise exhausted(
                f"failed to load '{name}': with it the models held would take {total} bytes, "
                f"over this server's limit of {self._limits.max_total_bytes}; unload one"
            )

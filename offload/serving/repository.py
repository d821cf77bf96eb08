"""The models a server holds: built in and uploaded, each with its counters."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import grpc

from offload.serving.refusal import RefusalError, exhausted, invalid, not_found
from offload.serving.served_model import OnnxModel, ServedModel
from offload.serving.statistics import ModelCounters
from offload.serving.upload import Upload, UploadLimits, check_declared, parse_upload, try_in_child

VERSION = "1"
"""The one version every model has."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A model and what it has done; requests that hold one finish on it even when it is unloaded or replaced."""

    name: str
    model: ServedModel
    size_bytes: int = 0
    counters: ModelCounters = field(default_factory=ModelCounters)


class Repository:
    """Uploaded models beside a fixed table of built-in ones; safe to use from many threads.

    Args:
        builtins: Models that are always there; uploads cannot take their names.
        limits: What uploads may cost.
        threads: Threads each uploaded model runs on.
        machine: Held while a model is tried and loaded, so that it does not disturb inferences.
    """

    def __init__(
        self, builtins: Mapping[str, ServedModel], limits: UploadLimits, *, threads: int, machine: threading.Lock
    ) -> None:
        self._builtins = {name: Entry(name=name, model=model) for name, model in builtins.items()}
        self._uploaded: dict[str, Entry] = {}
        self._limits = limits
        self._threads = threads
        self._machine = machine
        self._loading = threading.Lock()
        self._lock = threading.Lock()

    def __iter__(self) -> Iterator[Entry]:
        with self._lock:
            return iter([*self._builtins.values(), *self._uploaded.values()])

    def get(self, name: str, version: str) -> Entry:
        """The entry for a name and version ("" is the only one).

        Raises:
            RefusalError: NOT_FOUND.
        """
        with self._lock:
            entry = self._builtins.get(name) or self._uploaded.get(name)
        if entry is None:
            raise not_found(name)
        if version not in ("", VERSION):
            raise not_found(name, version)
        return entry

    def load(self, request: Any) -> None:
        """Take the model of a `RepositoryModelLoadRequest`, replacing one of the same name.

        Raises:
            RefusalError: the upload is not acceptable or over a limit.
        """
        self._refuse_builtin(request.model_name)
        upload = parse_upload(request, self._limits)
        if upload is None:
            with self._lock:
                if request.model_name in self._uploaded:
                    return
            raise RefusalError(
                grpc.StatusCode.INTERNAL,
                f"failed to load '{request.model_name}', failed to poll from model repository: "
                "this server keeps no models on disk, upload one",
            )
        with self._loading:
            self._check_room(upload)
            with self._machine:
                try_in_child(upload, self._limits, threads=self._threads)
                model = OnnxModel(upload.onnx, threads=self._threads)
            if upload.config is not None:
                check_declared(upload.config, upload.name, model.inputs, model.outputs)
            with self._lock:
                self._uploaded[upload.name] = Entry(name=upload.name, model=model, size_bytes=model.size_bytes)

    def unload(self, name: str) -> None:
        """Forget an uploaded model; as in Triton, one that is not there is no error.

        Raises:
            RefusalError: it is built in.
        """
        self._refuse_builtin(name)
        with self._lock:
            self._uploaded.pop(name, None)

    def _refuse_builtin(self, name: str) -> None:
        if name in self._builtins:
            raise invalid(f"'{name}' is built into this server and can be neither replaced nor unloaded")

    def _check_room(self, upload: Upload) -> None:
        with self._lock:
            others = [entry for entry in self._uploaded.values() if entry.name != upload.name]
        if len(others) >= self._limits.max_models:
            raise exhausted(
                f"failed to load '{upload.name}': this server holds at most {self._limits.max_models} models, "
                "unload one"
            )
        total = sum(entry.size_bytes for entry in others) + len(upload.onnx)
        if total > self._limits.max_total_bytes:
            raise exhausted(
                f"failed to load '{upload.name}': with it the models held would take {total} bytes, "
                f"over this server's limit of {self._limits.max_total_bytes}; unload one"
            )

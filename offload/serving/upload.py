"""What an upload must be before it is served: named safely, small enough, understood, and tried in a child."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from offload.errors import OffloadError
from offload.serving.child_process import ChildError, ChildProcess
from offload.serving.decoding import PARAMETER
from offload.serving.refusal import RefusalError, exhausted, invalid
from offload.serving.tensors import TensorSpec

MODEL_FILE = "file:1/model.onnx"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
_MAX_CONFIG_CHARACTERS = 2**20
_UNDERSTOOD_CONFIG = frozenset(
    {"name", "platform", "backend", "input", "output", "default_model_filename", "parameters"}
)


@dataclass(frozen=True, kw_only=True)
class UploadLimits:
    """What uploads may cost the server."""

    max_upload_bytes: int = 1024**3
    """The largest model."""
    max_models: int = 64
    """Uploaded models held at once."""
    max_total_bytes: int = 4 * 1024**3
    """Their sizes together."""
    trial_memory_bytes: int = 4 * 1024**3
    """Private memory of the child that tries a model."""
    trial_time_s: float = 60.0
    """Seconds that child may take; its processor time may be this many seconds per thread."""


@dataclass(frozen=True, kw_only=True)
class Upload:
    """A model as a client sent it."""

    name: str
    onnx: bytes
    config: Any
    """The `ModelConfig` override, None when none was sent."""

    @property
    def announced(self) -> str:
        """Which inputs arrive coded, see `decoding`; empty when nothing was announced."""
        told = self.config is not None and PARAMETER in self.config.parameters
        return str(self.config.parameters[PARAMETER].string_value) if told else ""


def parse_upload(request: Any, limits: UploadLimits) -> Upload | None:
    """The upload in a `RepositoryModelLoadRequest`, None when it brings no file.

    Raises:
        RefusalError: the name is unsafe, a parameter is not understood, or the file is too large.
    """
    name = request.model_name
    check_name(name)
    onnx: bytes | None = None
    config = None
    for key, parameter in request.parameters.items():
        if key == MODEL_FILE:
            onnx = parameter.bytes_param
        elif key == "config":
            config = _parse_config(parameter.string_param, name)
        else:
            raise invalid(f"failed to load '{name}': parameter {key!r} is not understood, only config and {MODEL_FILE}")
    if onnx is None:
        return None
    if len(onnx) > limits.max_upload_bytes:
        raise exhausted(
            f"failed to load '{name}': {len(onnx)} bytes is over this server's limit of {limits.max_upload_bytes}"
        )
    return Upload(name=name, onnx=onnx, config=config)


def check_name(name: str) -> None:
    """Refuse a model name that would not be safe as a file's.

    Raises:
        RefusalError: INVALID_ARGUMENT.
    """
    if not _NAME.fullmatch(name):
        raise invalid(
            f"model name {name!r} is not accepted: use up to 200 letters, digits, '.', '_' and '-', "
            "beginning with a letter or digit"
        )


def parse_model_config(text: str, name: str) -> Any:
    """The `ModelConfig` that a load request brings as JSON.

    Raises:
        RefusalError: INVALID_ARGUMENT, when it is none, or far too long.
    """
    from google.protobuf import json_format
    from tritonclient.grpc import model_config_pb2

    if len(text) > _MAX_CONFIG_CHARACTERS:
        raise invalid(f"failed to load '{name}': a config of {len(text)} characters is over {_MAX_CONFIG_CHARACTERS}")
    config = model_config_pb2.ModelConfig()
    try:
        json_format.Parse(text, config)
    except (json_format.ParseError, RecursionError) as error:
        raise invalid(f"failed to load '{name}': the config is not a model configuration: {error}") from None
    return config


def _parse_config(text: str, name: str) -> Any:
    config = parse_model_config(text, name)
    unsupported = [field.name for field, _ in config.ListFields() if field.name not in _UNDERSTOOD_CONFIG]
    if unsupported:
        raise invalid(f"failed to load '{name}': config field {unsupported[0]} is not supported by this server")
    foreign = next((key for key in config.parameters if key != PARAMETER), None)
    if foreign is not None:
        raise invalid(f"failed to load '{name}': config parameter {foreign!r} is not understood, only {PARAMETER}")
    given = {
        "name": (config.name, name),
        "backend": (config.backend, "onnxruntime"),
        "platform": (config.platform, "onnxruntime_onnx"),
        "default_model_filename": (config.default_model_filename, "model.onnx"),
    }
    for field, (value, expected) in given.items():
        if value not in ("", expected):
            raise invalid(f"failed to load '{name}': config field {field} must be {expected!r}, not {value!r}")
    return config


def check_declared(config: Any, name: str, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> None:
    """Refuse a config whose inputs or outputs are not the model's own.

    Raises:
        RefusalError: INVALID_ARGUMENT, naming the tensor.
    """
    from tritonclient.grpc import model_config_pb2

    for what, declared, specs in (("input", config.input, inputs), ("output", config.output, outputs)):
        by_name = {spec.name: spec for spec in specs}
        for tensor in declared:
            spec = by_name.get(tensor.name)
            if spec is None:
                raise invalid(f"failed to load '{name}': the model has no {what} '{tensor.name}'")
            datatype = model_config_pb2.DataType.Name(tensor.data_type).removeprefix("TYPE_")
            if (datatype, tuple(tensor.dims)) != (spec.datatype, spec.shape):
                raise invalid(
                    f"failed to load '{name}': {what} '{tensor.name}' is {spec.datatype} {list(spec.shape)}, "
                    f"the config says {datatype} {list(tensor.dims)}"
                )


def try_in_child(upload: Upload, limits: UploadLimits, *, threads: int) -> None:
    """Check, load and run the model once in a child process that can be killed, decoding what it announces.

    Raises:
        RefusalError: INVALID_ARGUMENT for a model that is not acceptable, RESOURCE_EXHAUSTED for one over a limit.
    """
    with tempfile.TemporaryDirectory(prefix="offload-upload-") as folder:
        path = Path(folder, "model.onnx")
        path.write_bytes(upload.onnx)
        settings = {
            "path": str(path),
            "announced": upload.announced,
            "threads": threads,
            "memory_bytes": limits.trial_memory_bytes,
            "cpu_s": limits.trial_time_s * threads,
        }
        with ChildProcess("offload.serving.trial", settings) as child:
            try:
                child.answer(limits.trial_time_s)
            except ChildError as failure:
                raise exhausted(f"failed to load '{upload.name}': its trial run {failure.message}") from failure
            except OffloadError as error:
                raise _refusal_of(error, upload.name, limits) from error


def _refusal_of(error: OffloadError, name: str, limits: UploadLimits) -> RefusalError:
    if error.hint == "memory":
        return exhausted(
            f"failed to load '{name}': its trial run needs more than {limits.trial_memory_bytes} bytes: {error.message}"
        )
    return invalid(f"failed to load '{name}': {error.message}")

"""Trained codecs as folders: encoder.onnx, decoder.onnx, weights.safetensors and manifest.json."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from offload.artifacts.codec import TrainedCodec
from offload.errors import OffloadError
from offload.graph.model_graph import Tensor

ENCODER, DECODER, WEIGHTS, MANIFEST = "encoder.onnx", "decoder.onnx", "weights.safetensors", "manifest.json"
_AGAIN = "train it again, or take its folder from where it was trained"


@dataclass(frozen=True, kw_only=True)
class TrainedFiles:
    """A trained codec on disk."""

    manifest: TrainedCodec
    folder: Path

    @property
    def encoder(self) -> bytes:
        """The device's side, ONNX; raises as `read` does."""
        return self.read(ENCODER)

    @property
    def decoder(self) -> bytes:
        """The server's side, ONNX; raises as `read` does."""
        return self.read(DECODER)

    def read(self, name: str) -> bytes:
        """A file of the codec.

        Raises:
            OffloadError: it is not there, or not what was saved.
        """
        path = self.folder / name
        try:
            content = path.read_bytes()
        except OSError as error:
            raise OffloadError(f"{path} cannot be read: {error.strerror}", hint=_AGAIN) from error
        if hashlib.sha256(content).hexdigest() != self.manifest.files.get(name):
            raise OffloadError(f"{path} is damaged: it is not what the manifest names", hint=_AGAIN)
        return content


def load_trained(folder: Path) -> TrainedFiles:
    """The codec in a folder, all of its files checked.

    Raises:
        OffloadError: it is not there, or damaged.
    """
    files = TrainedFiles(manifest=TrainedCodec.load(folder / MANIFEST), folder=folder)
    for name in (ENCODER, DECODER, WEIGHTS):
        files.read(name)
    return files


def find_trained(
    root: Path, model_hash: str | None = None, *, damaged: Callable[[str], None] | None = None
) -> list[TrainedFiles]:
    """The codecs in a folder of folders, by name; those without a readable manifest are passed over.

    Args:
        root: The folder; it need not be there.
        model_hash: Only those that were trained for this model.
        damaged: Told what is wrong with each that is passed over.
    """
    found = []
    for path in sorted(root.glob(f"*/{MANIFEST}")):
        try:
            files = TrainedFiles(manifest=TrainedCodec.load(path), folder=path.parent)
        except OffloadError as error:
            if damaged is not None:
                damaged(error.message)
            continue
        if model_hash in (None, files.manifest.model.hash):
            found.append(files)
    return found


def named_trained(root: Path, name: str) -> TrainedFiles:
    """The codec that a user names: by its folder, the folder's name, its text, or the beginning of its id.

    Raises:
        OffloadError: there is none, or several.
    """
    if Path(name, MANIFEST).is_file():
        return load_trained(Path(name))
    known = find_trained(root)
    fitting = [
        files
        for files in known
        if name in (files.folder.name, files.manifest.text) or (name and files.manifest.id.startswith(name))
    ]
    if len(fitting) == 1:
        return load_trained(fitting[0].folder)
    damaged = [path.parent for path in root.glob(f"*/{MANIFEST}") if path.parent.name in (name, _folder_of(name, path))]
    if damaged and not fitting:
        return load_trained(damaged[0])  # passed over above: this raises what is wrong with it
    listed = ", ".join(files.folder.name for files in (fitting or known)[:5])
    if fitting:
        raise OffloadError(f"{len(fitting)} codecs are called {name}", hint=f"say which: {listed}")
    raise OffloadError(
        f"there is no codec {name}",
        hint=f"there are {listed}" if known else "train one: `offload codec train MODEL --at LAYER --data DATA`",
    )


def _folder_of(name: str, path: Path) -> str | None:
    """The folder's own name where it ends in the id that a codec's text names."""
    folder = path.parent.name
    return folder if "@" in name and folder.endswith("-" + name.replace("@", "-")) else None


def check_fits(manifest: TrainedCodec, *, model_hash: str, tensor: Tensor) -> None:
    """Refuse a codec at a place that it was not trained for.

    Args:
        manifest: The codec's.
        model_hash: Of the model.
        tensor: What crosses.

    Raises:
        OffloadError: it was trained for another model, cut or shape.
    """
    hint = f"train one for it: `offload codec train MODEL --at {tensor.name} --codec {manifest.codec} --data DATA`"
    if manifest.model.hash != model_hash:
        raise OffloadError(
            f"{manifest.text} was trained for {manifest.model.name} of content {manifest.model.hash[:12]}, "
            f"this model has {model_hash[:12]}",
            hint=hint,
        )
    if manifest.tensor.name != tensor.name:
        raise OffloadError(
            f"{manifest.text} was trained for the cut at {manifest.tensor.name}, not at {tensor.name}", hint=hint
        )
    if (manifest.tensor.shape, manifest.tensor.dtype) != (tensor.shape, tensor.dtype):
        raise OffloadError(
            f"{manifest.text} was trained for {_shape(manifest.tensor)}, {tensor.name} is {_shape(tensor)}", hint=hint
        )


def save_trained(root: Path, manifest: TrainedCodec, contents: Mapping[str, bytes]) -> TrainedFiles:
    """Write a codec's folder so that it is there whole or not at all.

    Args:
        root: Where folders of codecs are kept.
        manifest: Its `files` are the hashes of `contents`.
        contents: The other files by name.

    Returns:
        Where it is; the same codec saved before stays as it was.

    Raises:
        OffloadError: the folder cannot be written to.
    """
    words = (manifest.model.name, manifest.layer, manifest.codec, manifest.id)
    name = "-".join(re.sub(r"[^A-Za-z0-9._]+", "-", word).strip("-.") for word in words)
    folder, temporary = root / name, root / f".{name}.{os.getpid()}.tmp"
    files = TrainedFiles(manifest=manifest, folder=folder)
    if folder.exists():
        return TrainedFiles(manifest=load_trained(folder).manifest, folder=folder)
    try:
        temporary.mkdir(parents=True)
        for file, content in contents.items():
            (temporary / file).write_bytes(content)
        (temporary / MANIFEST).write_text(manifest.to_json(), encoding="utf-8")
        temporary.replace(folder)
    except OSError as error:
        raise OffloadError(
            f"cannot write {folder}: {error.strerror}", hint="set OFFLOAD_HOME to a folder you can write to"
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return files


def _shape(tensor: Tensor) -> str:
    return f"{'x'.join(map(str, tensor.shape))} {tensor.dtype}"

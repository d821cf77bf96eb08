"""Torch modules by name: from the zoo, from the user's own code, from torchvision and timm."""

from __future__ import annotations

import contextlib
import difflib
import hashlib
import importlib
import inspect
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from offload.errors import OffloadError
from offload.models.inputs import Shape
from offload.models.zoo.catalogue import ZooEntry

if TYPE_CHECKING:
    from torch import nn

# Torch's OpenMP threads would otherwise spin for milliseconds after each run and take the core of whatever is next: the
# network, the server's part, another runtime. A short spin bridges the gap between two kernels. OpenMP reads this once,
# when torch is first loaded, which is always after this module.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("GOMP_SPINCOUNT", "5000")

SEED = 0
LIBRARIES = ("torchvision", "timm")
_IMAGE = (3, 224, 224)


def from_zoo(entry: ZooEntry) -> nn.Module:
    """A built-in network with the trained weights that come with it, or seeded ones.

    Raises:
        OffloadError: the file of its trained weights is missing, or is not the one that was shipped.
    """
    from offload.models.zoo.initialisation import initialise

    module = entry.build()
    if not entry.trained:
        initialise(module, seed=SEED)
        return module
    path = entry.weights_file
    if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != entry.weights_sha256:
        raise OffloadError(f"{path}: not the weights that come with {entry.name}", hint="install the program again")
    load_weights(module, path)
    return module


def from_callable(spec: str) -> nn.Module:
    """The module that `package.module:callable` returns; the current folder is importable.

    Raises:
        OffloadError: there is no such callable, it raises, or it returns something else.
    """
    from torch import nn

    module_name, _, attribute = spec.partition(":")
    with _users_code(spec), _current_folder_importable():
        try:
            with _seeded():
                found: Any = importlib.import_module(module_name)
        except ModuleNotFoundError as error:
            if not f"{module_name}.".startswith(f"{error.name}."):
                raise
            raise OffloadError(
                f"{spec}: there is no module {error.name!r}", hint="run in the folder that holds it, or install it"
            ) from error
        for part in attribute.split("."):
            if not hasattr(found, part):
                raise OffloadError(
                    f"{spec}: {module_name} has no {attribute!r}", hint=_near(attribute, dir(found), "its names are")
                )
            found = getattr(found, part)
        if not isinstance(found, nn.Module):
            if not callable(found):
                raise OffloadError(f"{spec}: {attribute} is not callable", hint="name a function that makes a module")
            with _seeded():
                found = found()
    if not isinstance(found, nn.Module):
        raise OffloadError(f"{spec}: returned {type(found).__name__}, not a torch.nn.Module", hint="name one that does")
    return found


def from_library(spec: str) -> tuple[nn.Module, Shape]:
    """A module of torchvision or timm with random seeded weights, nothing downloaded, and its usual input shape.

    Raises:
        OffloadError: the library is not there or does not work, or has no such model.
    """
    library, _, name = spec.partition(":")
    try:
        package: Any = importlib.import_module("torchvision.models" if library == "torchvision" else "timm")
    except Exception as error:  # a torchvision built for another torch fails in many ways
        raise OffloadError(
            f"{spec}: {library} cannot be imported: {str(error).splitlines()[0] if str(error) else error!r}",
            hint=f"pip install {library}, in the build that fits the installed torch",
        ) from error
    names: Sequence[str] = package.list_models()
    if name not in names:
        raise OffloadError(f"{spec}: {library} has no model {name!r}", hint=_near(name, names, "it has"))
    with _users_code(spec), _seeded():
        if library == "timm":
            module = package.create_model(name, pretrained=False)
            shape = tuple(getattr(module, "default_cfg", {}).get("input_size", _IMAGE))
        else:
            module = package.get_model(name, weights=None)
            shape = (3, 299, 299) if name == "inception_v3" else _IMAGE
    return module, shape


def input_names(module: nn.Module) -> list[str]:
    """Names of the tensors that `module.forward` needs, in order."""
    parameters = inspect.signature(module.forward).parameters.values()
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    required = [p.name for p in positional if p.default is p.empty]
    return required or [p.name for p in positional[:1]] or ["input"]


def load_weights(module: nn.Module, path: Path) -> None:
    """Replace all weights of `module` by those of a safetensors file.

    Raises:
        OffloadError: the file is missing or damaged, or its keys or shapes are not the module's.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not path.is_file():
        raise OffloadError(f"{path}: there is no such file", hint="check the path after --weights")
    try:
        weights = load_file(path)
    except (SafetensorError, OSError) as error:
        raise OffloadError(
            f"{path}: not a safetensors file, or a damaged one: {error}", hint="save it with safetensors"
        ) from error
    own = module.state_dict()
    optional = {key for key in own if key.endswith("num_batches_tracked")}  # plays no part in inference
    missing = [key for key in own if key not in weights and key not in optional]
    unknown = [key for key in weights if key not in own]
    if missing or unknown:
        what = [f"lacks {_some(missing)}"] * bool(missing) + [f"has unknown {_some(unknown)}"] * bool(unknown)
        raise OffloadError(f"{path}: " + " and ".join(what), hint="give weights saved from this very network")
    for key, value in weights.items():
        if value.shape != own[key].shape:
            raise OffloadError(
                f"{path}: {key} has shape {tuple(value.shape)}, the network's is {tuple(own[key].shape)}",
                hint="give weights saved from this very network",
            )
    with torch.no_grad():
        module.load_state_dict(weights, strict=False)


def near_names(name: str, known: Sequence[str]) -> list[str]:
    """Known names that `name` may have meant, the nearest first."""
    return difflib.get_close_matches(name.lower(), known, n=3, cutoff=0.6)


def _near(name: str, known: Sequence[str], otherwise: str) -> str:
    close = near_names(name, known)
    if close:
        return "did you mean " + " or ".join(close) + "?"
    return f"{otherwise} " + _some([each for each in known if not each.startswith("_")], limit=8)


def _some(names: Sequence[str], limit: int = 3) -> str:
    return ", ".join(names[:limit]) + (f" and {len(names) - limit} more" if len(names) > limit else "")


@contextlib.contextmanager
def _users_code(spec: str) -> Iterator[None]:
    """What it prints goes to stderr, what it raises becomes one line."""
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    except OffloadError:
        raise
    except Exception as error:
        reason = next(iter(str(error).splitlines()), "")
        raise OffloadError(
            f"{spec}: the code raised {type(error).__name__}: {reason}", hint="run again with -v for the traceback"
        ) from error


@contextlib.contextmanager
def _seeded() -> Iterator[None]:
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(SEED)
        yield


@contextlib.contextmanager
def _current_folder_importable() -> Iterator[None]:
    folder = str(Path.cwd())
    if folder in sys.path:
        yield
        return
    sys.path.insert(0, folder)
    importlib.invalidate_caches()
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):
            sys.path.remove(folder)

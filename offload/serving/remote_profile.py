"""Have a model profiled by a server of ours."""

from __future__ import annotations

import json

import numpy as np

from offload.artifacts.profile import Profile
from offload.errors import OffloadError
from offload.models.loaded import LoadedModel, LoadedOnnxModel
from offload.serving.builtin_models import PROFILE
from offload.serving.client import ServerClient

_LOADING_S = 120.0
"""What a server may take beside measuring: receiving the model, loading it, warming up."""


def profile_on_server(
    client: ServerClient, model: LoadedModel, *, precision: float, max_time_s: float, power_w: float | None
) -> Profile:
    """The profile of a model, made on the server with the server's threads.

    An ONNX model is sent; a torch model is one that the server was started with, and is profiled on its device.

    Raises:
        OffloadError: the server cannot be reached, does not profile, or refuses the model.
    """
    client.check()
    if not client.ready(PROFILE):
        raise OffloadError(
            f"the server at {client.address} does not profile models", hint="start one there with `offload serve`"
        )
    settings = {"precision": precision, "max_time_s": max_time_s, "power_w": power_w}
    sent = {"model": model.onnx} if isinstance(model, LoadedOnnxModel) else {"hash": model.hash.encode()}
    feeds = {
        **{name: np.array([value], np.object_) for name, value in sent.items()},
        "settings": np.array([json.dumps(settings).encode()], np.object_),
    }
    result = client.infer(PROFILE, feeds, timeout_s=max_time_s + _LOADING_S)
    text = result.outputs["profile"][0].decode("utf-8", errors="replace")
    return Profile.from_json(text, source=f"the profile from {client.address}")

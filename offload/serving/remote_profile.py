"""Have a model profiled by a server of ours."""

from __future__ import annotations

import json

import numpy as np

from offload.artifacts.profile import Profile
from offload.errors import OffloadError
from offload.serving.builtin_models import PROFILE
from offload.serving.client import ServerClient

_LOADING_S = 120.0
"""What a server may take beside measuring: receiving the model, loading it, warming up."""


def profile_on_server(
    client: ServerClient, onnx: bytes, *, precision: float, max_time_s: float, power_w: float | None
) -> Profile:
    """The profile of a canonical model, made on the server with the server's threads.

    Raises:
        OffloadError: the server cannot be reached, does not profile, or refuses the model.
    """
    client.check()
    if not client.ready(PROFILE):
        raise OffloadError(
            f"the server at {client.address} does not profile models", hint="start one there with `offload serve`"
        )
    settings = {"precision": precision, "max_time_s": max_time_s, "power_w": power_w}
    feeds = {
        "model": np.array([onnx], np.object_),
        "settings": np.array([json.dumps(settings).encode()], np.object_),
    }
    result = client.infer(PROFILE, feeds, timeout_s=max_time_s + _LOADING_S)
    text = result.outputs["profile"][0].decode("utf-8", errors="replace")
    return Profile.from_json(text, source=f"the profile from {client.address}")

"""Writes trained weights where the zoo reads them."""

from __future__ import annotations

import hashlib

from safetensors.torch import save_file
from torch import nn

from offload.models.zoo.catalogue import WEIGHTS


def save_half(network: nn.Module, name: str) -> nn.Module:
    """Save the weights in half precision as the zoo's network `name`, and print the digest for its entry.

    Returns:
        The network with the weights as saved, so that what is measured next is what is shipped.
    """
    halves = {
        key: value.half().contiguous()
        for key, value in network.state_dict().items()
        if not key.endswith("num_batches_tracked")
    }
    path = WEIGHTS / f"{name}.safetensors"
    save_file(halves, path)
    network.load_state_dict({key: value.float() for key, value in halves.items()}, strict=False)
    print(f"{path}: {path.stat().st_size} bytes, SHA-256 {hashlib.sha256(path.read_bytes()).hexdigest()}")
    return network

"""What every codec must do."""

from __future__ import annotations

import numpy as np
import pytest

from offload.codecs.base import Codec
from offload.codecs.catalogue import CODECS
from offload.graph.model_graph import Tensor

SHAPES = [(1, 3, 8, 8), (1, 16, 5, 7), (2, 10), (1, 4, 6)]
LOSSLESS = {"raw"}


@pytest.fixture(params=sorted(CODECS))
def codec(request: pytest.FixtureRequest) -> Codec:
    return CODECS[request.param]


def test_it_is_listed_under_its_own_name(codec: Codec) -> None:
    assert CODECS[codec.name] is codec


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", ["float32", "uint8"])
def test_what_crosses_is_what_it_declares(codec: Codec, shape: tuple[int, ...], dtype: str) -> None:
    tensor = Tensor(name="t", shape=shape, dtype=dtype)
    array = (np.random.default_rng(0).random(shape) * 100).astype(dtype)
    encoded, wire = codec.encode(array), codec.wire(tensor)
    assert (encoded.shape, encoded.dtype.name, encoded.nbytes) == (wire.shape, wire.dtype, wire.size_bytes)
    decoded = codec.decode(np.frombuffer(encoded.tobytes(), encoded.dtype).reshape(encoded.shape), tensor)
    assert (decoded.shape, decoded.dtype.name) == (shape, dtype)
    if codec.name in LOSSLESS:
        np.testing.assert_array_equal(decoded, array)

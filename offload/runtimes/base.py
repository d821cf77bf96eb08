"""What a runtime must offer: load a model or one side of a cut, and run it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.generic]


class Session(Protocol):
    """A loaded model, ready to run."""

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Outputs by name for the inputs by name; shapes and dtypes are those of the model's graph.

        Raises:
            OffloadError: an input is missing, or has the wrong shape or dtype.
        """


class Runtime(Protocol):
    """Something that runs models on one device with one number of threads."""

    name: str

    def load(self, model: bytes, *, threads: int) -> Session:
        """A session for a serialised model.

        Raises:
            OffloadError: the model cannot be loaded or the device is not there.
        """

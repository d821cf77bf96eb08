"""What a runtime must offer: load a model or one side of a cut, and run it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from offload.artifacts.profile import RuntimeIdentity
    from offload.models.segments import Segment

    Array = NDArray[np.generic]


class Session(Protocol):
    """A loaded model, ready to run."""

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Outputs by name for the inputs by name; shapes and dtypes are those of the model's graph.

        Raises:
            OffloadError: an input is missing, or has the wrong shape or dtype.
        """

    def repeat(self, feeds: Mapping[str, Array], times: int) -> None:
        """Run that many times, one after the other; returns when the last is done, and hands no outputs over.

        Raises:
            OffloadError: as for `run`.
        """


class Runtime(Protocol):
    """Something that runs models on one device, in one way."""

    @property
    def name(self) -> str:
        """What artifacts call it."""

    @property
    def device(self) -> str:
        """Where it runs them: `cpu`, `cuda:0`."""

    def identity(self, *, threads: int) -> RuntimeIdentity:
        """What artifacts record about it."""

    def load(self, segment: Segment, *, threads: int) -> Session:
        """A session for a whole model or one side of a cut.

        Raises:
            OffloadError: the segment is not of a form this runtime takes, it cannot be loaded, or the device is not
                there.
        """

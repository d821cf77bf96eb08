"""What other tools' traces are read into, and what each reader of one answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from offload.errors import OffloadError
from offload.models.loaded import LoadedModel

ToolName = Literal["trtexec", "onnxruntime", "torch"]
_LONGEST_S = 1e6
_LATEST_S = 1e12
_LONGEST_WORDS = 300


@dataclass(frozen=True, kw_only=True)
class TracedKernel:
    """One thing that a trace has a time of."""

    name: str
    layers: tuple[int, ...]
    """Indices of the graph's layers that it names; empty when it names none."""
    samples_s: tuple[float, ...]
    """Its time in each run that was kept, in seconds."""


@dataclass(frozen=True, kw_only=True)
class TracedRuns:
    """What a trace tells about a model."""

    kernels: tuple[TracedKernel, ...]
    """In the order in which they were executed."""
    whole_s: tuple[float, ...]
    """Seconds that the tool tells of each run that was kept."""
    version: str | None
    """Version of what ran the model; None when the trace does not tell."""
    device: str
    """What the trace tells of where it ran: `cpu` or `cuda:0`."""
    threads: int | None = None
    """Threads that it ran on; None when the trace does not tell."""
    warm_up_runs: int = 0
    """Runs at its start that were left out."""


class TraceReader(Protocol):
    """Reads the traces of one tool."""

    @property
    def runtime(self) -> str:
        """The name of what runs the model under this tool, as a profile records it."""

    @property
    def takes_torch(self) -> bool:
        """Whether the trace names the operators of a torch module rather than an ONNX model's nodes."""

    def recognises(self, document: object) -> bool:
        """Whether a JSON document looks like one of this tool's."""

    def read(self, document: Any, model: LoadedModel, *, source: Path) -> TracedRuns:
        """The times in a document that is `recognised`.

        Args:
            document: The trace.
            model: What it is a trace of.
            source: The trace's file, for messages.

        Raises:
            OffloadError: it holds no run, a time that cannot be true, or another model's layers.
        """


def seconds_of(figure: object, unit_s: float, *, what: str, source: Path) -> float:
    """A duration in a trace as seconds.

    Args:
        figure: What stands in the trace.
        unit_s: Seconds that 1 stands for there.
        what: Names the figure in the message.
        source: The trace's file.

    Raises:
        OffloadError: it is no number, negative, or longer than eleven days.
    """
    return _between(figure, unit_s, _LONGEST_S, what=what, source=source)


def moment_of(figure: object, unit_s: float, *, what: str, source: Path) -> float:
    """A moment in a trace as seconds since its clock began, which may be in 1970; else as `seconds_of`."""
    return _between(figure, unit_s, _LATEST_S, what=what, source=source)


def _between(figure: object, unit_s: float, most_s: float, *, what: str, source: Path) -> float:
    is_number = isinstance(figure, int | float) and not isinstance(figure, bool)
    if not is_number or not 0 <= figure <= most_s / unit_s:  # type: ignore[operator]
        shown = f"{figure!r:.40}" if is_number else f"a {type(figure).__name__}"
        raise OffloadError(
            f"{source} is damaged: {_one_line(what)} is {shown}, which is no time", hint="record the trace again"
        )
    return float(figure) * unit_s  # type: ignore[arg-type]


def without_warm_up(runs: int) -> int:
    """How many runs to leave out at the start: the first, which allocates and tunes, unless it is the only one."""
    return 1 if runs > 1 else 0


def other_model(source: Path, model: LoadedModel, why: str) -> OffloadError:
    """The error for a trace that does not fit the model."""
    return OffloadError(
        f"{source} is a trace of another model than {model.name}: {_one_line(why)}",
        hint="name the model it was recorded of, as the very file that ran, with its --batch and --input",
    )


def _one_line(words: str) -> str:
    """Words that hold names from a file: on one line, and not a page of them."""
    line = " ".join(words.split())
    return line if len(line) <= _LONGEST_WORDS else line[:_LONGEST_WORDS] + " …"


def listed(names: Sequence[str], most: int = 2) -> str:
    """The first of some names, and how many more there are."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")

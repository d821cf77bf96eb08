"""TensorRT's `trtexec --exportProfile=FILE`.

A list: `{"count": runs}`, then one record a kernel in the order of execution, `{"name", "timeMs", "averageMs",
"medianMs", "percentage"}`; older files have no median. One figure is kept a kernel, its median over the runs
(its mean where there is none), so the profile has one sample and no interval of its own.

How names are read:
- `conv1 + relu1`, `conv1 || conv2`, `PWN(sigmoid1, mul1)`: all of them, as one kernel. Parts that are no layer of the
  model (weights, `(Unnamed Layer* 3) [Shuffle]`, a batch norm that was folded) are passed over.
- `Reformatting CopyNode for Input Tensor 0 to conv1 + relu1`: part of what it is for.
- `{ForeignNode[first...last]}`: every layer between the two that no other kernel names. An end that is no layer is
  taken to be next to the layers of the kernels around it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from offload.errors import OffloadError
from offload.models.loaded import LoadedModel
from offload.profilers.imports.base import TracedKernel, TracedRuns, seconds_of
from offload.profilers.imports.layer_names import LayerNames

_REFORMAT = re.compile(r"^Reformatting CopyNode for (?:Input|Output) Tensor \d+ to ")
_FOREIGN = re.compile(r"\{ForeignNode\[(.*?)\.\.\.(.*)\]\}")
_JOINTS = re.compile(r" \+ |\s*\|\|\s*|, ")
_MILLI = 1e-3


class TrtexecReader:
    """Reads `trtexec --exportProfile`."""

    runtime = "tensorrt"
    takes_torch = False

    def recognises(self, document: object) -> bool:
        """See `TraceReader.recognises`."""
        if not isinstance(document, list) or not document or not isinstance(document[0], dict):
            return False
        return "count" in document[0] or "averageMs" in document[0]

    def read(self, document: Any, model: LoadedModel, *, source: Path) -> TracedRuns:
        """See `TraceReader.read`."""
        records = [record for record in document if not (isinstance(record, dict) and "count" in record)]
        if not records:
            raise OffloadError(f"{source} holds no kernel", hint="record it with `trtexec --exportProfile=FILE`")
        timed: list[tuple[str, float]] = []
        for record in records:
            if not isinstance(record, dict) or not isinstance(record.get("name"), str):
                raise OffloadError(f"{source} is damaged: a record has no name", hint="record the trace again")
            figure = record.get("medianMs", record.get("averageMs"))
            timed.append((record["name"], seconds_of(figure, _MILLI, what=f"{record['name']:.60}", source=source)))
        layers = _layers_of([name for name, _ in timed], LayerNames(model.graph))
        kernels = tuple(
            TracedKernel(name=name, layers=named, samples_s=(time_s,))
            for (name, time_s), named in zip(timed, layers, strict=True)
        )
        return TracedRuns(kernels=kernels, whole_s=(sum(time_s for _, time_s in timed),), version=None, device="cuda:0")


def _layers_of(names: Sequence[str], known: LayerNames) -> list[tuple[int, ...]]:
    """The layers that each kernel names, in the order of execution."""
    found = [_plain(name, known) for name in names]
    taken = {index for layers in found for index in layers}
    resolved: dict[str, tuple[int, ...]] = {}
    for at, name in enumerate(names):
        foreign = _FOREIGN.search(name)
        if foreign is None:
            continue
        if foreign[0] in resolved:
            found[at] = resolved[foreign[0]]
            continue
        starts, ends = (_plain(part, known) for part in foreign.groups())
        before = [max(layers) for layers in found[:at] if layers]
        after = [min(layers) for layers in found[at + 1 :] if layers]
        start = min(starts) if starts else 1 + max(before, default=-1)
        end = max(ends) if ends else min(after, default=known.count) - 1
        found[at] = resolved[foreign[0]] = tuple(index for index in range(start, end + 1) if index not in taken)
        taken.update(found[at])
    return found


def _plain(name: str, known: LayerNames) -> tuple[int, ...]:
    """The layers of a name that joins several; none for a foreign node, whose name tells two of many."""
    if "{ForeignNode[" in name:
        return ()
    parts = _JOINTS.split(_REFORMAT.sub("", name).replace("PWN(", ""))
    indices = [known.index(_closed(part.strip())) for part in parts]
    return tuple(dict.fromkeys(index for index in indices if index is not None))


def _closed(part: str) -> str:
    """Without closing brackets that have none that opens them."""
    while part.endswith(")") and part.count(")") > part.count("("):
        part = part[:-1]
    return part

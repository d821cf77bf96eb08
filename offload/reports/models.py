"""The report on the built-in models."""

from __future__ import annotations

from collections.abc import Iterable

from offload.reports.document import Report, Section


def models_report(entries: Iterable[tuple[str, tuple[int, ...], str]]) -> Report:
    """A report on (name, input shape without the batch, description) triples."""
    known = tuple(entries)
    return Report(
        title="Built-in networks",
        sections=(
            Section(
                title="",
                columns=("name", "input", "what it is"),
                rows=tuple((name, "×".join(map(str, shape)), description) for name, shape, description in known),
                lines=("Their weights are a seeded initialisation, not trained, unless --weights gives a file.",),
            ),
        ),
        records=tuple(
            {"name": name, "input_shape": "x".join(map(str, shape)), "description": description}
            for name, shape, description in known
        ),
    )

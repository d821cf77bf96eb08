"""Neurosurgeon's partition points, headlines and throughput, made again from published figures, beside the paper's.

What `offload reproduce neurosurgeon` does, for both targets, as Markdown. Nothing is measured: presets are scaled to
published latencies of whole networks. It takes a minute, most of it exporting the networks for the first time.

    python benchmarks/neurosurgeon.py
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from offload import api
from offload.artifacts.workspace import Workspace
from offload.reports.render import render


def main() -> None:
    """Print both reports."""
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace(Path(folder))
        for target in ("latency", "energy"):
            made = api.reproduce(api.ReproduceRequest(target=target), workspace=workspace)
            print(render(made, "md").replace("\n## ", "\n### ").replace("# ", "## ", 1))


if __name__ == "__main__":
    main()

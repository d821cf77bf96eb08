"""How long `offload --help` takes beyond the interpreter's own start: medians of paired runs.

Usage: python benchmarks/startup.py [PAIRS]
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

LIMIT_S = 0.150
COMMANDS = {"python -c pass": ["-c", "pass"], "offload --help": ["-m", "offload", "--help"]}


def time_once(arguments: list[str]) -> float:
    """Seconds of one child process."""
    started = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def main() -> int:
    """Print the medians; 1 when the limit is passed."""
    pairs = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    for arguments in COMMANDS.values():
        time_once(arguments)
    samples = [[time_once(arguments) for arguments in COMMANDS.values()] for _ in range(pairs)]
    for name, times in zip(COMMANDS, zip(*samples, strict=True), strict=True):
        print(f"{name:<16} {statistics.median(times) * 1e3:6.1f} ms")
    extra = statistics.median(ours - pythons for pythons, ours in samples)
    print(f"{'difference':<16} {extra * 1e3:6.1f} ms (median of {pairs} pairs; limit {LIMIT_S * 1e3:.0f} ms)")
    return int(extra > LIMIT_S)


if __name__ == "__main__":
    sys.exit(main())

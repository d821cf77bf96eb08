"""`offload link` beside iperf3 over a link that the kernel shapes: two network namespaces, a veth pair, `tc … tbf`.

Run as root: `python benchmarks/link_measurement.py [RATE_MBIT …]`, by default 20, 100 and 450 Mbit/s and no limit,
which shows where the serving protocol itself ends. Needs ip, tc and iperf3 (Debian: iproute2, iperf3); takes about
two minutes and prints a Markdown table.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from offload.artifacts.link import LinkProfile

RATES_MBIT = (20, 100, 450, None)
_CLIENT_IP, _SERVER_IP = "10.213.77.1", "10.213.77.2"
_PORT, _IPERF_PORT = 8001, 5201
_IPERF_S = 6
_LINK_S = 12
_BURST_S = 0.002
_SMALLEST_BURST_BYTES = 32_000
_START_S = 30.0


@dataclass(frozen=True, kw_only=True)
class ShapedLink:
    """Two ends of a link; `[*client, "command"]` runs a command at one of them."""

    client: tuple[str, ...]
    server: tuple[str, ...]


def missing() -> str:
    """What this machine lacks, in words; empty when it has everything."""
    if os.name != "posix" or os.geteuid() != 0:
        return "root"
    return ", ".join(tool for tool in ("ip", "tc", "iperf3") if shutil.which(tool) is None)


@contextmanager
def shaped_link(rate_mbit: float | None) -> Iterator[ShapedLink]:
    """A link between two network namespaces, each direction shaped by a token bucket to `rate_mbit`."""
    tag = secrets.token_hex(3)
    ends = {f"offload-c-{tag}": (f"vc{tag}", _CLIENT_IP), f"offload-s-{tag}": (f"vs{tag}", _SERVER_IP)}
    names = list(ends)
    try:
        for name in names:
            _do("ip", "netns", "add", name)
        (near, _), (far, _) = ends.values()
        _do("ip", "link", "add", near, "netns", names[0], "type", "veth", "peer", "name", far, "netns", names[1])
        for name, (device, address) in ends.items():
            inside = ("ip", "netns", "exec", name)
            _do(*inside, "ip", "address", "add", f"{address}/24", "dev", device)
            _do(*inside, "ip", "link", "set", "lo", "up")
            _do(*inside, "ip", "link", "set", device, "up")
            if rate_mbit is not None:
                burst = round(max(_SMALLEST_BURST_BYTES, rate_mbit * 1e6 / 8 * _BURST_S))
                shape = ("rate", f"{rate_mbit}mbit", "burst", str(burst), "latency", "50ms")
                _do(*inside, "tc", "qdisc", "add", "dev", device, "root", "tbf", *shape)
        client, server = (("ip", "netns", "exec", name) for name in names)
        yield ShapedLink(client=client, server=server)
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "delete", name], capture_output=True, check=False)


def iperf3_bps(link: ShapedLink, *, upward: bool) -> float:
    """TCP payload bits per second that arrive, as iperf3 tells."""
    server = subprocess.Popen([*link.server, "iperf3", "-s", "-1", "-p", str(_IPERF_PORT)], stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + _START_S
        while True:
            command = ["iperf3", "-c", _SERVER_IP, "-p", str(_IPERF_PORT), "-t", str(_IPERF_S), "-O", "1", "-J"]
            done = subprocess.run(
                [*link.client, *command, *([] if upward else ["-R"])], capture_output=True, text=True, check=False
            )
            told = json.loads(done.stdout or "{}").get("end", {})
            if "sum_received" in told:  # with -J some versions end with 0 when they could not connect
                return float(told["sum_received"]["bits_per_second"])
            if time.monotonic() > deadline:
                raise RuntimeError(f"iperf3 failed: {done.stdout}")
            time.sleep(0.2)
    finally:
        server.terminate()
        server.wait()


def offload_link(link: ShapedLink, *, duration_s: float = _LINK_S) -> LinkProfile:
    """What `offload link` measures against `offload serve` at the other end."""
    offload = [sys.executable, "-m", "offload"]
    with tempfile.TemporaryDirectory(prefix="offload-bench-") as folder:
        environment = os.environ | {"OFFLOAD_HOME": folder}
        serve = [*offload, "serve", "--host", _SERVER_IP, "--port", str(_PORT), "--insecure", "-q"]
        server = subprocess.Popen([*link.server, *serve], env=environment)
        try:
            address = f"{_SERVER_IP}:{_PORT}"
            measure = [*offload, "link", address, "--duration", f"{duration_s:g}s", "-q", "-o", f"{folder}/link.json"]
            deadline = time.monotonic() + _START_S
            while True:
                done = subprocess.run([*link.client, *measure], env=environment, capture_output=True, text=True)
                if done.returncode == 0:
                    return LinkProfile.load(Path(folder, "link.json"))
                if "cannot reach" not in done.stderr or time.monotonic() > deadline:
                    raise RuntimeError(f"offload link failed: {done.stderr}")
                time.sleep(0.2)
        finally:
            server.terminate()
            server.wait()


def _do(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True)


def main() -> None:
    """Print the table."""
    lacking = missing()
    if lacking:
        print(f"skipped: needs {lacking}")
        return
    print("| tbf Mbit/s | direction | iperf3 Mbit/s | offload link Mbit/s | 95 % interval | ratio | line's residual |")
    print("|---|---|---|---|---|---|---|")
    for rate_mbit in [float(text) for text in sys.argv[1:]] or RATES_MBIT:
        with shaped_link(rate_mbit) as link:
            reference = {"up": iperf3_bps(link, upward=True), "down": iperf3_bps(link, upward=False)}
            profile = offload_link(link)
        for direction, one_way in (("up", profile.uplink), ("down", profile.downlink)):
            goodput = one_way.goodput_bps
            low, high = goodput.low / 1e6, goodput.high / 1e6
            print(
                f"| {'no limit' if rate_mbit is None else f'{rate_mbit:g}'} | {direction} "
                f"| {reference[direction] / 1e6:.2f} | {goodput.value / 1e6:.2f} | {low:.2f} – {high:.2f} "
                f"| {goodput.value / reference[direction]:.3f} | {one_way.residual * 100:.1f} % |",
                flush=True,
            )


if __name__ == "__main__":
    main()

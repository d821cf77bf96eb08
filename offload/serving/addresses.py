"""HOST:PORT, and whether a host is this machine."""

from __future__ import annotations

import ipaddress

from offload.errors import UsageError


def parse_address(address: str) -> tuple[str, int]:
    """Host and port of `HOST:PORT` or `[IPv6]:PORT`.

    Raises:
        UsageError: it is neither.
    """
    host, separator, port = address.rpartition(":")
    bracketed = len(host) > 2 and host.startswith("[") and host.endswith("]")
    valid_host = bracketed or (host != "" and not set(host) & set("[]:"))
    if not separator or not valid_host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise UsageError(f"{address!r} is not an address", hint="write it like 127.0.0.1:8001 or [::1]:8001")
    return host.removeprefix("[").removesuffix("]"), int(port)


def format_address(host: str, port: int) -> str:
    """`HOST:PORT`, an IPv6 host in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server bound to `host`; names other than localhost count as not."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False

"""gRPC transport options shared by server and client."""

from __future__ import annotations

from collections.abc import Sequence

TRANSPORT_OPTIONS: Sequence[tuple[str, int]] = ()


def client_channel_arguments(*, loopback: bool) -> list[tuple[str, int]]:
    """Channel arguments for tritonclient: its own defaults, which arguments would replace, and ours.

    Args:
        loopback: The server is on this machine, where a proxy from the environment must not come between.
    """
    from tritonclient.grpc import KeepAliveOptions
    from tritonclient.grpc._client import MAX_GRPC_MESSAGE_SIZE

    keep_alive = KeepAliveOptions()
    return [
        ("grpc.max_send_message_length", MAX_GRPC_MESSAGE_SIZE),
        ("grpc.max_receive_message_length", MAX_GRPC_MESSAGE_SIZE),
        ("grpc.keepalive_time_ms", keep_alive.keepalive_time_ms),
        ("grpc.keepalive_timeout_ms", keep_alive.keepalive_timeout_ms),
        ("grpc.keepalive_permit_without_calls", int(keep_alive.keepalive_permit_without_calls)),
        ("grpc.http2.max_pings_without_data", keep_alive.http2_max_pings_without_data),
        *TRANSPORT_OPTIONS,
        *([("grpc.enable_http_proxy", 0)] if loopback else []),
    ]

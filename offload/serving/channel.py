"""The transport's settings: channel arguments.

gRPC's own tuning options (frame size, window, buffer and read sizes, bandwidth probing) made no difference that could
be measured, on loopback or on a link with 20 ms of delay, and are left alone.
"""

from __future__ import annotations


def client_channel_arguments(*, loopback: bool) -> list[tuple[str, int]]:
    """Channel arguments for tritonclient: its own defaults, which any argument replaces, and ours.

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
        ("grpc.use_local_subchannel_pool", 1),  # a connection of its own, not that of an earlier client
        *([("grpc.enable_http_proxy", 0)] if loopback else []),
    ]

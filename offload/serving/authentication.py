"""The token check in front of every call."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from typing import Any

import grpc


class TokenCheck(grpc.ServerInterceptor):  # type: ignore[misc, type-arg, unused-ignore]
    """Answers UNAUTHENTICATED to calls without `authorization: Bearer TOKEN` in their metadata.

    The refusing handler reads no message, so strangers cannot make the server take in large ones.
    """

    def __init__(self, token: str) -> None:
        self._expected = f"Bearer {token}".encode()

        def refuse(requests: Any, context: grpc.ServicerContext) -> Any:
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "this server wants a token: authorization: Bearer ...")

        self._refusal = grpc.stream_unary_rpc_method_handler(refuse)

    def intercept_service(
        self, continuation: Callable[[grpc.HandlerCallDetails], Any], handler_call_details: grpc.HandlerCallDetails
    ) -> Any:
        """The call's own handler when the token is right, else the refusing one."""
        given = b""
        for key, value in handler_call_details.invocation_metadata:
            if key == "authorization":
                given = value if isinstance(value, bytes) else value.encode()
        return continuation(handler_call_details) if hmac.compare_digest(given, self._expected) else self._refusal

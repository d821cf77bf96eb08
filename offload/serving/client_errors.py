"""gRPC's statuses in the user's words."""

from __future__ import annotations

from tritonclient.utils import InferenceServerException

from offload.errors import OffloadError


class ServerError(OffloadError):
    """A server that cannot be reached, refuses, or fails.

    Args:
        message: What is wrong.
        hint: What to do about it.
        code: The gRPC status, for example UNAVAILABLE; empty when no call was made.
    """

    def __init__(self, message: str, *, hint: str = "", code: str) -> None:
        super().__init__(message, hint=hint)
        self.code = code


def server_error(error: InferenceServerException, address: str, timeout_s: float) -> ServerError:
    """The error to show for a failed call to the server at `address`."""
    code = (error.status() or "").removeprefix("StatusCode.")
    detail = " ".join((error.message() or "").split())
    message, hint = {
        "UNAVAILABLE": (
            f"cannot reach the server at {address}: {detail}",
            "start one with `offload serve`, or check the address and whether both sides use TLS",
        ),
        "DEADLINE_EXCEEDED": (
            f"the server at {address} did not answer within {timeout_s:g} s",
            "check the link and the server's load, or allow more time",
        ),
        "UNAUTHENTICATED": (
            f"the server at {address} wants another token",
            "give the one it was started with, --token",
        ),
        "PERMISSION_DENIED": (f"the server at {address} refuses: {detail}", "ask for access"),
        "UNIMPLEMENTED": (
            f"the server at {address} does not offer this call: {detail}",
            "it must speak the Open Inference Protocol v2; uploads need Triton's explicit model control",
        ),
        "FAILED_PRECONDITION": (
            f"the server at {address} refuses: {detail}",
            "start it with the very model that was profiled: `offload serve --model NAME`, "
            "with the same --weights, --batch, --input and --dtype",
        ),
        "NOT_FOUND": (f"the server at {address} says: {detail}", "upload the model, or check its name"),
        "RESOURCE_EXHAUSTED": (
            f"the server at {address} is over a limit: {detail}",
            "raise that limit on the server (--max-upload for one model, --max-loaded for all), or send less",
        ),
        "INVALID_ARGUMENT": (
            f"the server at {address} refuses: {detail}",
            "run the same version of offload on both sides, or mend the model",
        ),
    }.get(code, (f"the server at {address} failed ({code or 'no status'}): {detail}", "see the server's own output"))
    return ServerError(message, hint=hint, code=code)

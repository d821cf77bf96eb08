"""How the server says no: a gRPC status code and one sentence, as Triton gives them."""

from __future__ import annotations

import grpc


class RefusalError(Exception):
    """A request that cannot be answered; the servicer turns it into a gRPC status.

    Args:
        code: The status the client sees.
        message: One sentence naming the model, tensor or limit.
    """

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def invalid(message: str) -> RefusalError:
    """A refusal for a request that does not fit the model or the protocol."""
    return RefusalError(grpc.StatusCode.INVALID_ARGUMENT, message)


def not_found(model_name: str, version: str = "") -> RefusalError:
    """A refusal for a model (or a version of it) that is not here."""
    which = f"'{model_name}' version {version}" if version else f"'{model_name}'"
    return RefusalError(grpc.StatusCode.NOT_FOUND, f"Request for unknown model: {which} is not found")


def unprepared(message: str) -> RefusalError:
    """A refusal for what this server would have to be started for."""
    return RefusalError(grpc.StatusCode.FAILED_PRECONDITION, message)


def exhausted(message: str) -> RefusalError:
    """A refusal for a request beyond a limit of this server."""
    return RefusalError(grpc.StatusCode.RESOURCE_EXHAUSTED, message)

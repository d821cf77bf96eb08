"""Tokens, TLS and the largest message, against the server as a real child process."""

from __future__ import annotations

from pathlib import Path

import pytest
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException

from offload.errors import OffloadError
from offload.serving.client import ServerClient
from offload.serving.embedded import EmbeddedServer
from offload.serving.server import ServeSettings
from offload.serving.upload import UploadLimits
from tests import serving_models as models

# A key and its own certificate for 127.0.0.1, made for these tests and of no use anywhere else.
TEST_KEY = """\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg9uyZmVItg58QZEyf
eRf48TGpWWwPihJkCEnEgBcVojehRANCAAQYCDvHvIQtXVoGd48loQKl+I9Sqlcw
Gdq8wPKcVwxYRCdvbKzkK1NmKWOlJtakrKv69OYq2at3dl8j0uQaD5Rj
-----END PRIVATE KEY-----
"""
TEST_CERTIFICATE = """\
-----BEGIN CERTIFICATE-----
MIIBbTCCAROgAwIBAgIBATAKBggqhkjOPQQDAjAXMRUwEwYDVQQDDAxvZmZsb2Fk
IHRlc3QwIBcNMjAwMTAxMDAwMDAwWhgPMjEyMDAxMDEwMDAwMDBaMBcxFTATBgNV
BAMMDG9mZmxvYWQgdGVzdDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABBgIO8e8
hC1dWgZ3jyWhAqX4j1KqVzAZ2rzA8pxXDFhEJ29srOQrU2YpY6Um1qSsq/r05irZ
q3d2XyPS5BoPlGOjTjBMMA8GA1UdEwEB/wQFMAMBAf8wGgYDVR0RBBMwEYcEfwAA
AYIJbG9jYWxob3N0MB0GA1UdDgQWBBS8NYOcaWV0zM5KQg9CgmyPfWHbJjAKBggq
hkjOPQQDAgNIADBFAiEAhxYDY5M5D7xSu1jOrGAUfEDBFge1tzc/TnXxeKRT5GIC
IF3OLs05FnDU9AwoRx5l02x2y87/BtQtvBwWgT+UwHt6
-----END CERTIFICATE-----
"""


@pytest.fixture(scope="module")
def guarded():
    """A server that wants a token."""
    with EmbeddedServer(threads=1, settings=ServeSettings(token="correct horse")) as server:
        yield server.address


@pytest.mark.parametrize("token", [None, "", "wrong", "correct horse ", "correct"])
def test_every_call_without_the_token_is_unauthenticated(guarded: str, token: str | None) -> None:
    headers = {"authorization": f"Bearer {token}"} if token is not None else None
    with triton.InferenceServerClient(guarded) as client:
        calls = [
            lambda: client.is_server_live(headers=headers),
            lambda: client.get_server_metadata(headers=headers),
            lambda: client.is_model_ready("m", headers=headers),
            lambda: client.load_model("m", headers=headers, config="{}", files={"file:1/model.onnx": models.scale()}),
            lambda: client.infer("offload-ping", [], headers=headers),
            lambda: client.unload_model("m", headers=headers),
        ]
        for call in calls:
            with pytest.raises(InferenceServerException) as caught:
                call()
            assert caught.value.status() == "StatusCode.UNAUTHENTICATED"


def test_the_token_opens_the_server(guarded: str) -> None:
    with ServerClient(guarded, token="correct horse") as client:
        assert client.check().name == "offload"
        client.upload("m", models.scale())
        assert client.infer("m", {"x": models.row(1, 2, 3, 4)}).outputs["y"].tolist() == [[2, 4, 6, 8]]


def test_another_token_is_an_error_that_names_the_flag(guarded: str) -> None:
    with ServerClient(guarded, token="wrong") as client, pytest.raises(OffloadError, match="token") as caught:
        client.check()
    assert "--token" in caught.value.hint


@pytest.fixture(scope="module")
def encrypted(tmp_path_factory: pytest.TempPathFactory):
    """A server with TLS, and the file its certificate is in."""
    folder = tmp_path_factory.mktemp("tls")
    certificate, key = folder / "cert.pem", folder / "key.pem"
    certificate.write_text(TEST_CERTIFICATE)
    key.write_text(TEST_KEY)
    settings = ServeSettings(tls_cert=str(certificate), tls_key=str(key), token="t")
    with EmbeddedServer(threads=1, settings=settings) as server:
        yield server.address, certificate


def test_tls_with_the_right_authority(encrypted: tuple[str, Path]) -> None:
    address, certificate = encrypted
    with ServerClient(address, tls=certificate, token="t") as client:
        assert client.check().name == "offload"


@pytest.mark.parametrize("tls", [None, "system"])
def test_without_tls_or_with_another_authority_nothing_is_said(encrypted: tuple[str, Path], tls) -> None:
    with ServerClient(encrypted[0], tls=tls, token="t", timeout_s=5) as client, pytest.raises(OffloadError) as caught:
        client.check()
    assert caught.value.hint


def test_messages_beyond_the_upload_limit_are_refused() -> None:
    settings = ServeSettings(limits=UploadLimits(max_upload_bytes=2_000_000))
    with EmbeddedServer(threads=1, settings=settings) as server, ServerClient(server.address) as client:
        for size in (2_000_001, 10_000_000):
            with pytest.raises(OffloadError, match="over a limit") as caught:
                client.upload("m", bytes(size))
            assert "--max-upload" in caught.value.hint
        assert not client.ready("m")

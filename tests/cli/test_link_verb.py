"""`offload link`: options reach the library, results their place, and what goes wrong is one line."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from offload import api
from offload.artifacts.link import LinkProfile
from offload.artifacts.workspace import Workspace
from offload.errors import OffloadError
from tests.cli.conftest import Run
from tests.fake_link import link_profile

Answers = Callable[..., list[Any]]


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Answers:
    """Make the library answer or raise these one after the other; returns the requests it was given."""

    def patch(*outcomes: LinkProfile | BaseException) -> list[Any]:
        seen: list[Any] = []

        def function(request: Any, **_: object) -> LinkProfile:
            seen.append(request)
            outcome = outcomes[len(seen) - 1]
            if isinstance(outcome, BaseException):
                raise outcome
            return outcome

        monkeypatch.setattr(api, "link", function)
        return seen

    return patch


def test_every_option_is_passed_on(run: Run, answers: Answers, tmp_path: Path) -> None:
    authority = tmp_path / "ca.pem"
    authority.touch()
    seen = answers(link_profile())
    outcome = run(
        *("link", "[::1]:8001", "--sizes", "10kB,100KiB,1MB", "--duration", "1min", "--token", "secret"),
        *("--tls-ca", str(authority)),
    )
    assert outcome.code == 0, outcome.err
    assert seen == [
        api.LinkRequest(
            server="[::1]:8001", sizes_bytes=(10_000, 102_400, 1_000_000), duration_s=60.0, token="secret",
            tls_ca=authority,
        )
    ]  # fmt: skip


def test_the_link_lands_in_the_workspace_and_the_next_command_is_named(run: Run, answers: Answers, home: Path) -> None:
    answers(link_profile())
    outcome = run("link", "10.0.0.1:8001")
    saved = Workspace(home).newest(LinkProfile)
    assert saved is not None
    assert f"written to {saved[0]}" in outcome.err
    assert "next: offload plan" in outcome.err
    assert outcome.out.startswith("Link to 10.0.0.1:8001")


def test_an_output_file_and_json(run: Run, answers: Answers, tmp_path: Path) -> None:
    profile = link_profile()
    answers(profile, profile)
    path = tmp_path / "link.json"
    outcome = run("link", "10.0.0.1:8001", "-o", str(path), "--json")
    assert LinkProfile.load(path) == profile
    assert json.loads(outcome.out) == json.loads(path.read_text())
    assert f"next: offload plan --link {path}" in outcome.err
    again = run("link", "10.0.0.1:8001", "-o", str(path))
    assert again.code == 1
    assert "--force" in again.hint


def test_an_interrupted_measurement_is_kept(run: Run, answers: Answers, home: Path) -> None:
    answers(link_profile(stopped="interrupted"))
    outcome = run("link", "10.0.0.1:8001")
    assert outcome.code == 130
    assert outcome.error == "interrupted"
    assert Workspace(home).newest(LinkProfile) is not None


def test_a_lost_connection_is_told_and_what_was_measured_is_kept(run: Run, answers: Answers, home: Path) -> None:
    answers(link_profile(stopped="lost", failure="cannot reach the server"))
    outcome = run("link", "10.0.0.1:8001", "--json")
    assert outcome.code == 0
    assert "the connection was lost" in outcome.err
    assert "cannot reach the server" in outcome.err
    assert Workspace(home).newest(LinkProfile) is not None


def test_a_watch_writes_a_line_each_time_until_interrupted(run: Run, answers: Answers, home: Path) -> None:
    seen = answers(link_profile(), link_profile(), KeyboardInterrupt())
    outcome = run("link", "10.0.0.1:8001", "--watch")
    assert outcome.code == 0
    assert len(seen) == 3
    assert len(outcome.out.splitlines()) == 2
    assert "up 20 Mbit/s" in outcome.out
    assert outcome.err == ""
    assert Workspace(home).newest(LinkProfile) is None


def test_a_watch_writes_one_json_object_a_line(run: Run, answers: Answers) -> None:
    answers(link_profile(), link_profile(stopped="interrupted"))
    lines = run("link", "10.0.0.1:8001", "--watch", "--json").out.splitlines()
    records = [json.loads(line) for line in lines]
    assert len(records) == 2
    assert records[0]["uplink_goodput_bps"] == pytest.approx(20e6)


def test_a_watch_outlives_a_link_that_goes_down_but_not_one_that_never_was_up(
    run: Run, answers: Answers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("offload.cli.link._RETRY_S", 0.0)
    gone = OffloadError("cannot reach the server", hint="start it")
    answers(link_profile(), gone, link_profile(), KeyboardInterrupt())
    outcome = run("link", "10.0.0.1:8001", "--watch")
    assert outcome.code == 0
    assert len(outcome.out.splitlines()) == 2
    assert outcome.err == "warning: cannot reach the server\n"
    answers(gone)
    assert run("link", "10.0.0.1:8001", "--watch").code == 1


@pytest.mark.parametrize(
    ("arguments", "error", "hint"),
    [
        ([], "Missing argument 'HOST:PORT'", "offload link --help"),
        (["nowhere"], "'nowhere' is not an address", "127.0.0.1:8001"),
        (["a:1", "--sizes", "10"], "'10' has no unit", "5MiB"),
        (["a:1", "--sizes", "10kB"], "two different sizes", "10kB,100kB,1MB"),
        (["a:1", "--sizes", "10kB,10kB"], "two different sizes", "10kB,100kB,1MB"),
        (["a:1", "--sizes", "0B,10kB"], "two different sizes", "10kB,100kB,1MB"),
        (["a:1", "--sizes", "10kB,1GB"], "two different sizes from 1 B to 268435456 B", None),
        (["a:1", "--sizes", "10kB,"], "is not a size", None),
        (["a:1", "--duration", "0s"], "--duration 0", "10s"),
        (["a:1", "--duration", "5"], "'5' has no unit", "20ms"),
        (["a:1", "--watch", "-o", "x.json"], "--watch", "leave -o"),
        (["a:1", "--watch", "--format", "csv"], "--watch", "--format"),
    ],
)
def test_usage_errors_end_with_2(run: Run, arguments: list[str], error: str, hint: str | None) -> None:
    outcome = run("link", *arguments)
    assert outcome.code == 2
    assert outcome.out == ""
    assert error in outcome.error
    assert (hint or "") in outcome.hint


def test_a_server_that_is_not_there(run: Run) -> None:
    outcome = run("link", "127.0.0.1:9")
    assert outcome.code == 1
    assert "cannot reach the server at 127.0.0.1:9" in outcome.error
    assert "offload serve" in outcome.hint


@pytest.fixture
def rude() -> Iterator[int]:
    """A port whose server hangs up on everyone."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def hang_up() -> None:
            while True:
                try:
                    listener.accept()[0].close()
                except OSError:
                    return

        threading.Thread(target=hang_up, daemon=True).start()
        yield listener.getsockname()[1]


def test_a_server_of_another_protocol(run: Run, rude: int) -> None:
    outcome = run("link", f"127.0.0.1:{rude}")
    assert outcome.code == 1
    assert "cannot reach the server" in outcome.error

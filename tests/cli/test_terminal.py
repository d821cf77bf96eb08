"""Where output goes: closed pipes, full disks, colours, and workspaces that cannot be written to."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from offload import api
from offload.cli.terminal import ConsoleProgress, Terminal
from tests import synthetic
from tests.cli.conftest import ROOT, Run

OFFLOAD = [sys.executable, "-m", "offload"]
full_device = pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")


def test_a_reader_that_goes_away_is_not_an_error(home: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [*OFFLOAD, "models"], stdout=writer, stderr=subprocess.PIPE, text=True, cwd=ROOT, timeout=60
        )
    finally:
        os.close(writer)
    assert done.returncode == 0
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


@full_device
def test_a_full_disk_under_stdout_is_an_error(home: Path) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [*OFFLOAD, "models"], stdout=full, stderr=subprocess.PIPE, text=True, cwd=ROOT, timeout=60
        )
    assert done.returncode == 1
    assert "error: cannot write the result: No space left on device" in done.stderr
    assert "Exception ignored" not in done.stderr


def test_a_locale_without_the_characters_is_not_an_error(child: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    outcome = child("models")
    assert outcome.code == 0
    assert "resnet50" in outcome.out


def test_a_file_in_place_of_the_workspace_is_found_before_measuring(
    run: Run, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.write_text("")
    monkeypatch.setattr(api, "profile", lambda *_, **__: pytest.fail("measured in vain"))
    outcome = run("profile", "resnet18")
    assert outcome.code == 1
    assert f"cannot write to {home}" in outcome.error
    assert "OFFLOAD_HOME" in outcome.hint


def test_a_workspace_lost_while_measuring_costs_only_the_file(
    run: Run, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measure(*_: object, **__: object) -> object:
        home.rmdir()
        home.write_text("")
        return synthetic.profile()

    monkeypatch.setattr(api, "profile", measure)
    outcome = run("profile", "resnet18")
    assert outcome.code == 1
    assert "cannot write" in outcome.error
    assert "toy, batch 1" in outcome.out


def test_colours_need_a_terminal_and_nobody_to_refuse(monkeypatch: pytest.MonkeyPatch) -> None:
    class Screen:
        def isatty(self) -> bool:
            return True

    screen = Screen()
    for name in ("NO_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    assert Terminal().color(screen)  # type: ignore[arg-type]
    assert not Terminal(no_color=True).color(screen)  # type: ignore[arg-type]
    monkeypatch.setenv("TERM", "dumb")
    assert not Terminal().color(screen)  # type: ignore[arg-type]
    monkeypatch.delenv("TERM")
    monkeypatch.setenv("NO_COLOR", "1")
    assert not Terminal().color(screen)  # type: ignore[arg-type]
    monkeypatch.setenv("NO_COLOR", "")
    assert Terminal().color(screen)  # type: ignore[arg-type]
    with open(os.devnull) as file:
        assert not Terminal().color(file)


def test_names_in_files_do_not_command_the_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = Terminal()
    hostile = "a\x1b[2Jb\x1b]0;title\x07c\x9bd\re\x08f"
    monkeypatch.setattr(Terminal, "color", lambda *_: True)
    terminal.result(f"\x1b[1mbold\x1b[0m, {hostile}\ttab\nlast\r\n")
    monkeypatch.undo()
    terminal.result("\x1b[31mred")
    terminal.note(hostile)
    terminal.warn(hostile)
    terminal.error(hostile + "\x1b[31m", hint="x" * 100_000)
    captured = capsys.readouterr()
    shown = "a�[2Jb�]0;title�c�d�e�f"
    assert captured.out == f"\x1b[1mbold\x1b[0m, {shown}\ttab\nlast\r\n�[31mred\n"
    *lines, hint = captured.err.splitlines()
    assert lines == [shown, f"warning: {shown}", "error: a�[2Jb�]0;title�c�d e�f�[31m"]
    assert len(hint) < 2000


def test_progress_without_a_terminal_is_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    progress = ConsoleProgress(Terminal())
    progress.start("measuring toy", 10)
    progress.advance(1, total=20)
    progress.note("a note")
    progress.warn("a warning")
    progress.finish()
    progress.finish()
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == ["measuring toy …", "a note", "warning: a warning"]


def test_quiet_progress_still_warns(capsys: pytest.CaptureFixture[str]) -> None:
    progress = ConsoleProgress(Terminal(quiet=True))
    progress.start("measuring toy", 10)
    progress.note("a note")
    progress.warn("a warning")
    assert capsys.readouterr().err.splitlines() == ["warning: a warning"]


def test_progress_on_a_terminal_draws_a_bar_with_notes_above_it() -> None:
    pty = pytest.importorskip("pty")
    program = (
        "from offload.cli.terminal import *\n"
        "import time\n"
        "progress = ConsoleProgress(Terminal())\n"
        "progress.start('measuring [toy]', 4)\n"
        "for step in range(4):\n"
        "    progress.advance()\n"
        "    progress.detail(f'{step} networks: conv [8] ' + 'and many more ' * 50)\n"
        "    time.sleep(0.15)\n"
        "progress.note('a note')\n"
        "progress.start('another')\n"
        "progress.finish()\n"
    )
    main, follower = pty.openpty()
    done = subprocess.run([sys.executable, "-c", program], stderr=follower, cwd=ROOT, timeout=60)
    os.close(follower)
    drawn = b""
    while True:
        try:
            chunk = os.read(main, 65536)
        except OSError:
            break
        if not chunk:
            break
        drawn += chunk
    os.close(main)
    assert done.returncode == 0
    text = drawn.decode()
    assert "measuring [toy]" in text
    assert "100%" in text
    assert "3 networks: conv" in text
    assert "a note" in text


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_serve_says_where_it_listens_and_stops_cleanly(home: Path, stop: signal.Signals) -> None:
    server = subprocess.Popen(
        [*OFFLOAD, "serve", "--port", "0", "--threads", "1"], stderr=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert server.stderr is not None
    try:
        assert "listening on 127.0.0.1:" in server.stderr.readline()
        assert "next: offload profile" in server.stderr.readline()
        server.send_signal(stop)
        assert server.wait(timeout=30) == 0
        assert "Traceback" not in server.stderr.read()
    finally:
        server.kill()
        server.wait()
        server.stderr.close()

"""Children answer once, are limited, and never outlive their parent."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from offload.errors import OffloadError
from offload.serving.child_process import ChildError, ChildProcess

PRELUDE = "from offload.serving.child_process import answer, limit_resources, read_settings\nimport os, sys, time\n"


@pytest.fixture
def child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Starts a child of the given source."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    started: list[ChildProcess] = []

    def start(source: str, **settings: object) -> ChildProcess:
        (tmp_path / "child_under_test.py").write_text(PRELUDE + source)
        started.append(ChildProcess("child_under_test", settings))
        return started[-1]

    yield start
    for process in started:
        process.kill()


def test_settings_go_in_and_the_answer_comes_out(child) -> None:
    process = child("settings = read_settings(); print('noise'); answer(doubled=settings['number'] * 2)", number=21)
    assert process.answer(20) == {"doubled": 42}


def test_large_answers_pass(child) -> None:
    assert len(child("read_settings(); answer(text='x' * 3_000_000)").answer(20)["text"]) == 3_000_000


def test_an_error_the_child_reports_is_raised_with_its_hint(child) -> None:
    with pytest.raises(OffloadError, match="port in use") as caught:
        child("read_settings(); answer(error='port in use', hint='another')").answer(20)
    assert caught.value.hint == "another"


def test_a_child_that_dies_says_its_last_words(child) -> None:
    with pytest.raises(ChildError, match="exit status 1: ValueError: broken"):
        child("read_settings(); raise ValueError('broken')").answer(20)


def test_waiting_ends_in_time_and_when_cancelled(child) -> None:
    process = child("read_settings(); time.sleep(60)")
    with pytest.raises(ChildError, match="no answer within"):
        process.answer(0.2)
    cancelled = threading.Event()
    cancelled.set()
    with pytest.raises(ChildError, match="nobody waits"):
        process.answer(20, cancelled)


def test_the_child_ends_when_its_stdin_does(child) -> None:
    process = child("read_settings(); answer(ok=True); time.sleep(60)")
    process.answer(20)
    process._process.stdin.close()
    assert process._process.wait(20) == 1


def test_stop_kills_what_ignores_the_request(child) -> None:
    source = (
        "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); read_settings(); answer(ok=1); time.sleep(60)"
    )
    process = child(source)
    process.answer(20)
    process.stop(0.2)
    assert process.returncode == -9


def test_memory_is_limited(child) -> None:
    limited = "read_settings(); limit_resources(memory_bytes=200 * 2**20, cpu_s=60)\n"
    source = limited + "try: bytearray(2**30)\nexcept MemoryError: answer(ok=True)"
    assert child(source).answer(20) == {"ok": True}


def test_processor_time_is_limited(child) -> None:
    process = child("read_settings(); limit_resources(memory_bytes=2**30, cpu_s=1)\nwhile True: pass")
    with pytest.raises(ChildError, match="exit status -"):
        process.answer(30)

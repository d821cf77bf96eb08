from __future__ import annotations

import os

import pytest

from offload.runtimes import placement
from offload.runtimes.onnxruntime import session_options
from offload.runtimes.placement import caller_off, worker_processors


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    worker_processors.cache_clear()
    monkeypatch.setattr(placement, "_allowed", lambda: {0, 1, 2, 3})
    monkeypatch.setattr(placement.Path, "read_text", lambda self, encoding: self.parts[-3].removeprefix("cpu"))


def test_workers_have_cores_of_their_own_and_the_first_is_the_callers() -> None:
    assert worker_processors(1) == ()
    assert worker_processors(2) == (1,)
    assert worker_processors(4) == (1, 2, 3)


def test_nothing_is_pinned_when_there_are_too_few_cores() -> None:
    assert worker_processors(5) == ()


def test_threads_of_one_core_count_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    siblings = {"cpu0": "0,2", "cpu2": "0,2", "cpu1": "1,3", "cpu3": "1,3"}
    monkeypatch.setattr(placement.Path, "read_text", lambda self, encoding: siblings[self.parts[-3]])
    assert worker_processors(2) == (1,)
    assert worker_processors(3) == ()


def test_nothing_is_pinned_where_the_system_does_not_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(placement, "_allowed", set)
    assert worker_processors(2) == ()
    with caller_off((1,)):
        pass


def test_the_runtime_counts_processors_from_one() -> None:
    options = session_options(threads=3)
    assert options.get_session_config_entry("session.intra_op_thread_affinities") == "2;3"


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="the system has no thread affinity")
def test_the_caller_is_let_back_on_all_processors_whatever_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    before = os.sched_getaffinity(0)
    if len(before) < 2:
        pytest.skip("one processor only")
    workers = (max(before),)
    with pytest.raises(ZeroDivisionError), caller_off(workers):
        _ = 1 / len(os.sched_getaffinity(0) - before)
    with caller_off(workers):
        assert os.sched_getaffinity(0) == before - set(workers)
    assert os.sched_getaffinity(0) == before
    with caller_off(tuple(before)):
        assert os.sched_getaffinity(0) == before

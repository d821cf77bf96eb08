"""`offload verify --data`: what it refuses, and how it ends."""

from __future__ import annotations

from pathlib import Path

import pytest

from offload import api
from offload.artifacts.verification import Verification
from tests import synthetic
from tests.cli.conftest import Run


@pytest.mark.parametrize(
    "arguments",
    [("--samples", "10"), ("--task", "ctc"), ("--samples", "0", "--data", "digits-in-clutter"), ("--task", "guessing")],
)
def test_what_makes_no_sense_is_a_usage_error(run: Run, arguments: tuple[str, ...]) -> None:
    outcome = run("verify", *arguments)
    assert outcome.code == 2
    assert outcome.error
    assert "Traceback" not in outcome.err


def test_less_accurate_than_promised_ends_with_4(run: Run, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[api.VerifyRequest] = []

    def verify(request: api.VerifyRequest, **_: object) -> Verification:
        asked.append(request)
        return synthetic.verification(verdict="less accurate than promised")

    monkeypatch.setattr(api, "verify", verify)
    outcome = run("verify", "--data", "digits-in-clutter", "--samples", "30", "--task", "classification")
    assert outcome.code == 4
    assert outcome.error == "verdict: less accurate than promised"
    assert "offload codec bench" in outcome.hint
    assert [(each.data, each.samples, each.task) for each in asked] == [("digits-in-clutter", 30, "classification")]
    assert list(home.glob("*.verification.json"))

"""`offload simulate` through its real entry: what it is given, what it writes, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from offload.artifacts.simulation import Simulation
from offload.artifacts.workspace import Workspace, write_artifact
from tests import synthetic
from tests.cli.conftest import Outcome, Run


@pytest.fixture
def plan(tmp_path: Path) -> str:
    path = tmp_path / "made.json"
    write_artifact(synthetic.energy_plan(), path)
    return str(path)


def trace(folder: Path, text: str, name: str = "trace.csv") -> str:
    path = folder / name
    path.write_text(text)
    return str(path)


def test_a_plan_is_replayed_and_the_next_command_is_named(run: Run, plan: str, home: Path) -> None:
    outcome = run("simulate", plan, "--bandwidth", "lte", "--load", "steps", "--duration", "20s", "--seed", "3")
    assert outcome.code == 0, outcome.err
    assert outcome.out.startswith("Simulation of toy, batch 1: 20 requests, one every 1.00 s\n")
    assert "lte, made up, seed 3" in outcome.out
    assert "load: steps, made up" in outcome.out
    saved = Workspace(home).newest(Simulation)
    assert saved is not None
    assert f"written to {saved[0]}" in outcome.err
    assert "next: offload verify" in outcome.err
    assert len(saved[1].run_of("oracle").latency_s) == 20
    again = run("simulate", plan, "--bandwidth", "lte", "--load", "steps", "--duration", "20s", "--seed", "3")
    assert again.out == outcome.out


def test_traces_come_from_files_and_last_as_long_as_they_do(run: Run, plan: str, tmp_path: Path) -> None:
    rows = "".join(f"{second},{18 if second < 50 else 0.5}\n" for second in range(100))
    link = trace(tmp_path, "time,mbps\n" + rows, "link.csv")
    load = trace(tmp_path, "time,load\n0,1\n50,4\n", "load.csv")
    outcome = run("simulate", plan, "--bandwidth", link, "--load", load, "--every", "500ms", "--json")
    assert outcome.code == 0, outcome.err
    found = json.loads(outcome.out)
    assert len(found["started_s"]) == 200
    assert (found["uplink_bps"][0], found["uplink_bps"][150]) == (pytest.approx(18e6), pytest.approx(0.5e6))
    assert (found["server_load"][0], found["server_load"][150]) == (1, 4)
    assert found["bandwidth_source"] == f"{link}, 100.00 s, repeated"


def test_mahimahi_traces_and_constants(run: Run, plan: str, tmp_path: Path) -> None:
    link = trace(tmp_path, "1\n", "12mbit.up")
    one = json.loads(run("simulate", plan, "--bandwidth", link, "--load", "2.5", "--json").out)
    two = json.loads(
        run("simulate", plan, "--bandwidth", "12mbps", "--load", "2.5", "--json", "--duration", "1min").out
    )
    for found, other in zip(one["strategies"], two["strategies"], strict=True):
        assert found["latency_s"] == pytest.approx(other["latency_s"])
    assert set(one["server_load"]) == {2.5}
    assert len(one["started_s"]) == 60


def test_without_traces_the_plans_own_rate_and_load_hold(run: Run, plan: str) -> None:
    outcome = run("simulate", plan, "--duration", "5s")
    assert outcome.code == 0
    assert "the plan's own, 18.88 Mbit/s all the time" in outcome.out
    assert "load: the plan's own, 1 all the time" in outcome.out


def test_the_newest_plan_is_taken_and_said(run: Run, home: Path) -> None:
    assert run("simulate").error.startswith("no plan in ")
    path = Workspace(home).save(synthetic.plan(), name="toy")
    outcome = run("simulate", "--duration", "3s")
    assert outcome.code == 0
    assert f"took the newest plan, {path}" in outcome.err


@pytest.mark.parametrize("ending", ["png", "svg", "html"])
def test_a_picture_is_drawn(run: Run, plan: str, tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"picture.{ending}"
    outcome = run("simulate", plan, "--bandwidth", "steps", "--duration", "10s", "--plot", str(path))
    assert outcome.code == 0, outcome.err
    assert path.stat().st_size > 1000
    assert f"drawn in {path}" in outcome.err
    assert run("simulate", plan, "--duration", "5s", "--plot", str(path)).error == f"{path} is there already"
    assert run("simulate", plan, "--duration", "5s", "--plot", str(path), "--force").code == 0


def refused(outcome: Outcome, code: int) -> str:
    assert outcome.code == code, outcome.err
    assert outcome.out == ""
    assert outcome.hint
    assert "Traceback" not in outcome.err
    return outcome.error


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("time,mbps\n0,5\n1,5\n2,5\n30,5\n", "line 5: a gap of 28 s where rows are 1 s apart"),
        ("time,mbps\n0,5\n1,-5\n", "line 3: a rate of -5 is negative"),
        ("time,mbps\n0,5\n1,fast\n", "line 3: 'fast' is not a number"),
        ("time,mbps\n0,5\n1,nan\n", "line 3: 'nan' is not a number"),
        ("time,mbps\n1,5\n0,5\n", "line 3: time 0 does not come after 1"),
        ("", "is empty"),
        ("12\nx\n", "line 2: 'x' is not a whole number of milliseconds"),
    ],
)
def test_a_bad_bandwidth_is_one_line(run: Run, plan: str, tmp_path: Path, text: str, error: str) -> None:
    path = trace(tmp_path, text)
    found = refused(run("simulate", plan, "--bandwidth", path), 1)
    assert found.startswith(path)
    assert error in found


def test_a_bad_load_is_one_line(run: Run, plan: str, tmp_path: Path) -> None:
    path = trace(tmp_path, "time,load\n0,1\n1,0.5\n")
    assert refused(run("simulate", plan, "--load", path), 1) == f"{path}, line 3: a load of 0.5 is less than 1"
    for text in ("", "time,load\n"):
        assert "`time,load`" in run("simulate", plan, "--load", trace(tmp_path, text)).hint
    for load in ("0.5", "-1", "nan", "inf", "1e9"):
        assert "a load is from 1, an idle server, to 10000" in refused(run("simulate", plan, "--load", load), 2)


@pytest.mark.parametrize(
    ("arguments", "code", "error"),
    [
        (("--bandwidth", "none.csv"), 1, "none.csv is not there"),
        (("--bandwidth", "wify"), 2, "--bandwidth wify: no such file, and not a name or a value"),
        (("--bandwidth", "x" * 300), 2, f"--bandwidth {'x' * 300}: no such file, and not a name or a value"),
        (("--bandwidth", "18"), 2, "'18' has no unit, a rate needs one"),
        (("--bandwidth", "-5mbps"), 2, "'-5mbps': a rate must be finite and above zero"),
        (("--bandwidth", "18ms"), 2, "'18ms': 'ms' is not a unit of rate"),
        (("--load", "heavy"), 2, "--load heavy: no such file, and not a name or a value"),
        (("--every", "0s"), 2, "--every 0 is no time between requests"),
        (("--duration", "0s"), 2, "--duration 0 leaves no time for a request"),
        (("--duration", "100h"), 1, "requests every 1 s for 360000 s are 360,000, and 1 to 20,000 are replayed"),
        (("--plot", "picture.gif"), 2, "picture.gif: pictures are .png, .svg, .html files"),
        (("--bandwidth", "0.000001bps"), 1, "a request would take years over this link"),
    ],
)
def test_what_cannot_be_replayed_is_one_line(
    run: Run, plan: str, arguments: tuple[str, ...], code: int, error: str
) -> None:
    assert refused(run("simulate", plan, *arguments), code) == error


def test_near_names_are_told(run: Run, plan: str) -> None:
    assert "one of wifi" in run("simulate", plan, "--bandwidth", "wify").hint


def test_plans_that_cannot_be_replayed(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "throughput.json"
    write_artifact(synthetic.plan(target="throughput"), path)
    assert "tells nothing of a plan for throughput" in refused(run("simulate", str(path)), 1)
    assert refused(run("simulate", str(tmp_path / "none.json")), 1).endswith("none.json is not there")
    write_artifact(synthetic.profile(), tmp_path / "profile.json")
    assert refused(run("simulate", str(tmp_path / "profile.json")), 1).endswith("is a profile, not a plan")
    damaged = json.loads(synthetic.plan().to_json())
    damaged["policy"]["choices"][0]["breakdown"]["server_s"]["value"] = "soon"
    (tmp_path / "damaged.json").write_text(json.dumps(damaged))
    assert "is damaged at policy" in refused(run("simulate", str(tmp_path / "damaged.json")), 1)

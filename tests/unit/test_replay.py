"""Following a plan's policy: when the session moves, what it knows, and how it is reported."""

from __future__ import annotations

import csv
import dataclasses
import errno
import io
import json
import os
from pathlib import Path

import pytest

from offload.artifacts.plan import Limits, Plan
from offload.artifacts.policy import Policy
from offload.artifacts.simulation import Simulation
from offload.errors import OffloadError, UsageError
from offload.planners.base import Constraints
from offload.reports.picture import Panel, Picture, Series, check_picture_file, write_picture
from offload.reports.render import render
from offload.reports.simulation import simulation_picture, switches
from offload.simulation.knowledge import Knowledge, Observation
from offload.simulation.replay import simulate
from offload.simulation.traces import Trace
from tests import synthetic

FAST, SLOW = 450e6, 1e5
DROP = Trace(starts_s=(0.0, 20.0, 40.0), values=(FAST, SLOW, FAST), period_s=60.0)
IDLE = Trace.constant(1.0)
EMPTY = Picture(title="", panels=(Panel(series=(), x_label="", y_label=""),))


def replay(plan: Plan | None = None, uplink: Trace = DROP, load: Trace = IDLE, **changes: float) -> Simulation:
    return simulate(
        plan or synthetic.plan(),
        uplink_bps=uplink,
        server_load=load,
        **({"duration_s": 60.0, "every_s": 1.0} | changes),
    )


def places(simulation: Simulation, strategy: str) -> list[int]:
    """Layers on the device, request by request."""
    return [simulation.options[option].device_layers for option in simulation.run_of(strategy).options]  # type: ignore[arg-type]


def test_the_session_moves_to_the_device_when_the_link_is_slow_and_back() -> None:
    simulation = replay()
    here = places(simulation, "adaptive")
    assert here[:20] == [0] * 20
    assert here[23:40] == [3] * 17
    assert here[45:] == [0] * 15
    latencies = {run.strategy: run.latency_s for run in simulation.strategies}
    server, adaptive, device = latencies["always server"], latencies["adaptive"], latencies["always device"]
    assert max(server[20:40]) > 10 * max(device), "the status quo's latency follows the link"
    assert max(adaptive[23:40]) == pytest.approx(device[0])
    assert adaptive[10] == server[10]


def test_the_session_moves_work_back_as_the_load_grows() -> None:
    ramp = Trace(starts_s=tuple(map(float, range(60))), values=tuple(1.2**n for n in range(60)), period_s=60.0)
    here = places(replay(uplink=Trace.constant(FAST), load=ramp), "adaptive")
    assert here[0] == 0
    assert here[-1] == 3
    assert here == sorted(here)


def test_it_does_not_move_for_a_small_gain() -> None:
    """Two rates on either side of the border between all there and all here, close to it: no switch, whatever comes."""
    plan = synthetic.plan()
    assert plan.policy is not None
    rows = [row for row in plan.policy.by_uplink if row.least_server_load == 1.0]
    border = rows[-1].slowest_uplink_bps
    near = Trace(starts_s=(0.0, 3.0), values=(border * 1.02, border * 0.98), period_s=6.0)
    simulation = replay(plan, near)
    assert switches(simulation.run_of("oracle")) > 5
    assert switches(simulation.run_of("adaptive")) == 0


def test_a_session_that_stays_here_probes() -> None:
    simulation = replay(uplink=Trace.constant(SLOW))
    assert places(simulation, "adaptive") == [3] * 60
    assert simulation.probing.probes == pytest.approx(60, abs=1)
    assert simulation.probing.energy_j is None
    energy = replay(synthetic.energy_plan(), uplink=Trace.constant(18e6))
    assert energy.probing.energy_j is not None
    assert energy.probing.energy_j > 0


def test_knowledge_comes_with_the_answer_and_a_late_one_bounds_the_rate() -> None:
    def sent(at_s: float, took_s: float, load: float | None = None) -> Observation:
        return Observation(sent_s=at_s, known_s=at_s + took_s, bits=1e6, sending_s=took_s, load=load)

    knowledge = Knowledge(sent(0.0, 1.0, 3.0))
    assert knowledge.rate_and_load(0.0) == (1e6, 3.0)
    knowledge.send(sent(1.0, 0.25, 2.0))
    assert knowledge.rate_and_load(1.2) == (1e6, 3.0), "not answered yet"
    rate, load = knowledge.rate_and_load(1.25)
    assert (rate, load) == (pytest.approx(1e6 / ((1.0 + 0.25) / 2)), 2.0)
    knowledge.send(sent(2.0, 100.0))
    assert knowledge.rate_and_load(2.1)[0] == rate
    assert knowledge.rate_and_load(12.0)[0] == pytest.approx(1e5), "under way for ten seconds"
    short = Observation(sent_s=13.0, known_s=13.1, bits=80.0, sending_s=0.05, load=9.0)
    knowledge.send(short)
    assert knowledge.rate_and_load(14.0) == (pytest.approx(1e6 / 12.0), 9.0), "too short to tell the rate"


def test_where_nothing_keeps_the_limits_the_session_stays_and_requests_are_counted() -> None:
    plan = synthetic.plan(constraints=Constraints(max_latency_s=0.0148))
    assert plan.policy is not None
    assert plan.policy.best(uplink_bps=SLOW, server_load=1.0) is None
    simulation = replay(plan)
    assert places(simulation, "adaptive") == [0] * 60
    run = simulation.run_of("adaptive")
    assert simulation.beyond_limits(run) == sum(latency > 0.0148 for latency in run.latency_s) > 15
    assert simulation.beyond_limits(simulation.run_of("always device")) == 60
    assert places(simulation, "oracle")[20] == 0, "device-only is ruled out by the plan"
    assert "beyond the limits" in render(simulation, "table")


def test_a_session_begins_as_planned_where_nothing_keeps_the_limits() -> None:
    plan = synthetic.plan(constraints=Constraints(max_latency_s=0.0148))
    simulation = replay(plan, Trace.constant(SLOW), duration_s=3.0)
    assert simulation.run_of("adaptive").options == simulation.run_of("the plan's cut").options


@pytest.mark.parametrize(
    ("plan", "error"),
    [
        (synthetic.plan(target="throughput"), "tells nothing of a plan for throughput"),
        (synthetic.plan().model_copy(update={"policy": None}), "no policy to follow"),
        (synthetic.plan().model_copy(update={"policy": Policy()}), "no policy to follow"),
    ],
)
def test_plans_that_cannot_be_followed(plan: Plan, error: str) -> None:
    with pytest.raises(OffloadError, match=error) as raised:
        replay(plan)
    assert raised.value.hint


def test_a_plan_of_an_earlier_version_is_refused() -> None:
    document = json.loads(synthetic.plan().to_json())
    for choice in document["policy"]["choices"]:
        for name in ("breakdown", "uplink_bytes", "downlink_bytes"):
            del choice[name]
    with pytest.raises(OffloadError, match="made by an earlier version") as raised:
        replay(Plan.from_json(json.dumps(document), source="plan.json"))
    assert raised.value.hint == "plan again with this version of offload"


def test_too_many_requests_and_requests_without_an_end() -> None:
    with pytest.raises(OffloadError, match=r"requests every 0.001 s for 100 s are 100,000"):
        replay(duration_s=100.0, every_s=0.001)
    with pytest.raises(OffloadError, match="would take years"):
        replay(uplink=Trace.constant(1e-6))


def test_it_survives_the_file_and_refuses_what_does_not_belong_together() -> None:
    simulation = replay()
    assert Simulation.from_json(simulation.to_json(), source="s.json") == simulation
    for place, value in (
        (("strategies", 0, "options", 0), 99),
        (("strategies", 0, "latency_s"), [1.0]),
        (("strategies", 0, "strategy"), "adaptive"),
        (("uplink_bps",), [1.0]),
        (("strategies", 0, "latency_s", 0), -1.0),
        (("started_s",), []),
    ):
        document = json.loads(simulation.to_json())
        inner = document
        for key in place[:-1]:
            inner = inner[key]
        inner[place[-1]] = value
        with pytest.raises(OffloadError, match=r"s.json is damaged at"):
            Simulation.from_json(json.dumps(document), source="s.json")
    with pytest.raises(KeyError):
        simulation.model_copy(update={"strategies": simulation.strategies[:1]}).run_of("oracle")


def test_the_report_has_every_strategy_and_the_csv_every_request() -> None:
    simulation = replay(synthetic.energy_plan(), Trace(starts_s=(0.0, 30.0), values=(18e6, 1e5), period_s=60.0))
    table = render(simulation, "table", width=200)
    for words in ("always server", "always device", "the plan's cut", "adaptive", "oracle", "p95", "energy, mean"):
        assert words in table
    assert "more energy than" in table, "its requests take less, and its probes more than that"
    adaptive, probes_j = simulation.run_of("adaptive"), simulation.probing.energy_j
    assert adaptive.energy_j is not None
    assert probes_j is not None
    assert simulation.mean_energy_j(adaptive) == pytest.approx((sum(adaptive.energy_j) + probes_j) / 60)
    server = simulation.run_of("always server")
    assert server.energy_j is not None
    assert simulation.mean_energy_j(server) == pytest.approx(sum(server.energy_j) / 60)
    assert replay().mean_energy_j(replay().run_of("oracle")) is None
    assert max(map(len, table.splitlines()[:40])) <= 200
    rows = list(csv.DictReader(io.StringIO(render(simulation, "csv"))))
    assert len(rows) == 5 * 60
    assert {row["strategy"] for row in rows} == {run.strategy for run in simulation.strategies}
    assert float(rows[0]["energy_j"]) == simulation.strategies[0].energy_j[0]  # type: ignore[index]
    assert render(simulation, "md").startswith("# Simulation of toy, batch 1: 60 requests, one every 1.00 s\n")
    narrow = render(simulation, "table", width=80)
    assert "(not shown in 80 columns: " in narrow


def test_pictures_are_files_of_the_kind_that_their_name_says(tmp_path: Path) -> None:
    load = Trace(starts_s=(0.0, 30.0), values=(1.0, 4.0), period_s=60.0)
    picture = simulation_picture(replay(synthetic.energy_plan(), load=load))
    assert [panel.y_label for panel in picture.panels] == [
        "uplink, Mbit/s", "server's load", "latency, s", "energy, J", "layers here"
    ]  # fmt: skip
    for name, beginning in (("a.png", b"\x89PNG"), ("a.svg", b"<?xml"), ("a.html", b"<!doctype html>")):
        write_picture(picture, tmp_path / name)
        assert (tmp_path / name).read_bytes().startswith(beginning)
    page = (tmp_path / "a.html").read_text()
    assert "<svg" in page
    assert "http://www.w3.org/2000/svg" in page
    assert "<script" not in page


def test_points_and_logarithmic_axes_can_be_drawn(tmp_path: Path) -> None:
    points = Series(label="conv", x=(1e-6, 1e-3), y=(2e-6, 1e-3), style="points")
    ideal = Series(label="", x=(1e-6, 1e-3), y=(1e-6, 1e-3), style="dashed")
    panel = Panel(series=(points, ideal), x_label="measured, s", y_label="predicted, s", log_x=True, log_y=True)
    write_picture(Picture(title="<b>", panels=(panel,)), tmp_path / "a.html")
    assert "<title>&lt;b&gt;</title>" in (tmp_path / "a.html").read_text()


def test_places_that_a_picture_cannot_go_to(tmp_path: Path) -> None:
    (tmp_path / "there.png").touch()
    (tmp_path / "folder.png").mkdir()
    check_picture_file(tmp_path / "there.png", force=True)
    with pytest.raises(UsageError, match=r"pictures are .png, .svg, .html files"):
        check_picture_file(tmp_path / "a.jpeg", force=False)
    for name, error in (("there.png", "is there already"), ("folder.png", "is a folder"), ("no/a.png", "is not there")):
        with pytest.raises(OffloadError, match=error):
            check_picture_file(tmp_path / name, force=False)
    with pytest.raises(OffloadError, match="cannot write"):
        write_picture(EMPTY, tmp_path / "no" / "a.svg")


def test_a_picture_that_fails_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def half(path: Path, content: bytes) -> None:
        with path.open("wb") as file:
            file.write(content[: len(content) // 2])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    (tmp_path / "old.svg").write_text("old")
    monkeypatch.setattr(Path, "write_bytes", half)
    for name in ("old.svg", "new.svg"):
        with pytest.raises(OffloadError, match="No space left on device"):
            write_picture(EMPTY, tmp_path / name)
    monkeypatch.undo()
    assert [path.name for path in tmp_path.iterdir()] == ["old.svg"]
    assert (tmp_path / "old.svg").read_text() == "old"


def test_a_folder_that_cannot_be_written_to_is_found_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**_: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr("offload.reports.picture.tempfile.TemporaryFile", refuse)
    with pytest.raises(OffloadError, match=f"cannot write to {tmp_path}: Read-only file system"):
        check_picture_file(tmp_path / "a.png", force=False)


@pytest.mark.parametrize("changes", [{"target": "energy"}, {"limits": Limits(max_energy_j=1.0)}])
def test_a_plan_about_energy_without_any_is_refused(changes: dict[str, object]) -> None:
    plan = synthetic.plan().model_copy(update=changes)
    with pytest.raises(OffloadError, match="does not tell what its cuts take of it"):
        replay(plan)


def test_limits_are_the_plans() -> None:
    assert replay().limits == Limits()
    assert dataclasses.asdict(replay().options[0])["predicted_s"] > 0

"""Reports on fitted costs: tables, records, pictures, and what they warn of."""

from __future__ import annotations

import csv
import dataclasses
import io
from pathlib import Path

import pytest

from offload.artifacts.costs import Costs
from offload.reports.costs import costs_picture, costs_report, within
from offload.reports.costs_warnings import costs_warnings, reference_spread
from offload.reports.picture import write_picture
from offload.reports.render import render
from tests.fitted import dense_costs, law_costs


def test_the_report_on_costs_tells_every_form_and_the_whole_networks() -> None:
    costs = law_costs()
    text = render(costs, "table", width=200)
    for family in costs.families:
        assert family.family in text
    for words in ("linear (paper)", "log (paper)", "networks within ±10 %", "shared error", "intervals hold"):
        assert words in text
    rows = list(csv.DictReader(io.StringIO(render(costs, "csv"))))
    assert len(rows) == len(costs.families)
    conv = next(row for row in rows if row["kind"] == "conv")
    error = next(e for e in costs.by_family["conv"].errors if e.form == "linear")
    assert float(conv["median_error_linear"]) == error.median_error
    assert float(conv["height_most"]) == pytest.approx(
        2 ** next(one.high for one in costs.by_family["conv"].ranges if one.feature == "height") - 1
    )
    everything = costs_report(costs, ranges=True)
    assert "Sampled ranges" in [section.title for section in everything.sections]
    assert "Sampled ranges" not in [section.title for section in costs_report(costs).sections]
    assert render(costs, "md").startswith("# Costs of kernels on cpu (1 thread")
    assert Costs.from_json(render(costs, "json"), source="it") == costs


def test_whole_errors_are_counted_either_way() -> None:
    assert within((0.04, -0.04, 0.06, -0.5), 0.05) == 0.5
    assert within((), 0.05) == 0.0


def warned(**changes: object) -> str:
    return "\n".join(costs_warnings(law_costs().model_copy(update=changes)))


def test_costs_that_should_be_trusted_less_say_why() -> None:
    costs = law_costs()
    assert "few kernels" in warned()
    assert "a larger --budget" in warned()
    assert "there are no more networks" in warned(stopped="all networks")
    assert "interrupted" in warned(stopped="interrupted")
    assert "not quiet" in warned(reference_s=tuple(1e-3 * (1 + 0.01 * n) for n in range(40)))
    assert "not quiet" not in warned(reference_s=(1e-3,) * 40)
    other = dataclasses.replace(costs.runtime, version="0.1")
    assert "fitted under onnxruntime 0.1" in warned(runtime=other)
    assert "declared power" in warned(power_w=3.0)
    assert "modelled from whole networks" in warned(power_source="rapl: RAPL")
    assert "stray by up to" in warned(shared_error=0.5)


def test_a_learning_curve_that_still_falls_asks_for_more() -> None:
    (family,) = dense_costs().families
    point = family.learning[-1] if family.learning else None
    assert point is not None
    steep = dataclasses.replace(
        family, learning=tuple(dataclasses.replace(point, median_error=error) for error in (0.4, 0.3, 0.2))
    )
    flat = dataclasses.replace(family, learning=(point, point))
    for learnt, expected in ((steep, True), (flat, False)):
        text = "\n".join(costs_warnings(dense_costs().model_copy(update={"families": (learnt,)})))
        assert ("more networks still lower the error of linear" in text) is expected


def test_the_references_spread_is_of_the_middle_four_fifths() -> None:
    times = tuple(1.0 + 0.001 * n for n in range(100))
    costs = law_costs().model_copy(update={"reference_s": (*times, 50.0)})
    assert reference_spread(costs) == pytest.approx(0.08 / 1.05, rel=0.05)


@pytest.mark.parametrize("ending", ["png", "html"])
def test_predicted_against_measured_is_drawn(ending: str, tmp_path: Path) -> None:
    picture = costs_picture(law_costs())
    (panel,) = picture.panels
    assert panel.log_x
    assert panel.log_y
    points = [series for series in panel.series if series.style == "points"]
    assert {"conv", "linear"} <= {series.label for series in points}
    rows = law_costs().sample_rows
    drawn = sorted(value for series in points for value in series.x)
    assert drawn[-1] == pytest.approx(float(rows[:, 2].max()) * 1e6)
    assert [series.label for series in panel.series if series.style == "dashed"] == ["±10 %", ""]
    write_picture(picture, tmp_path / f"picture.{ending}")
    data = (tmp_path / f"picture.{ending}").read_bytes()
    assert data.startswith(b"\x89PNG" if ending == "png" else b"<!doctype html>")

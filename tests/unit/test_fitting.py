"""Fitting on kernels whose true times are known, against independent arithmetic."""

from __future__ import annotations

import math
import sys
from dataclasses import replace

import numpy as np
import pytest

from offload.artifacts.costs import Band, FamilyCosts
from offload.models.executed import Kernel, TimedNetwork
from offload.predictors import fitting, forms
from offload.predictors.costs import predict_kernels
from offload.predictors.features import FEATURES, TERMS, UNRANGED, feature_matrix, surroundings, terms
from offload.predictors.forms import correction, fit_paper, fit_trees, fit_trend, paper_s, trend_s
from offload.progress import NullProgress
from tests import fitted
from tests.fitted import COEFFICIENTS, dense_costs, dense_networks, gemm, roofline_law


@pytest.fixture
def no_trees(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fits take a hundredth of the time without."""
    monkeypatch.setattr(fitting, "FEWEST_FOR_TREES", 10**9)


def random_terms(count: int) -> np.ndarray:
    generator = np.random.default_rng(3)
    low, high = (1e4, 1e3, 1e2, 1e2, 1), (1e9, 1e7, 1e7, 1e8, 1e3)
    sizes = np.exp(generator.uniform(np.log(low), np.log(high), (count, len(low))))
    return np.column_stack([sizes, np.ones(count), np.zeros(count)])


def test_the_trend_recovers_its_coefficients() -> None:
    matrix = random_terms(200)
    seconds = matrix @ np.array(COEFFICIENTS)
    assert fit_trend(matrix, seconds) == pytest.approx(COEFFICIENTS, rel=1e-3)
    assert fit_trend(matrix * [2, 1, 1, 1, 1, 1, 1], seconds)[0] == pytest.approx(COEFFICIENTS[0] / 2, rel=1e-3)
    assert fit_trend(matrix, 1000 * seconds) == pytest.approx([1000 * each for each in COEFFICIENTS], rel=1e-2)


def test_no_coefficient_of_the_trend_is_below_zero() -> None:
    matrix = random_terms(100)
    seconds = np.maximum(matrix[:, :2] @ np.array([2e-11, -1e-10]) + 1e-4, 1e-6)
    assert min(fit_trend(matrix, seconds)) >= 0


def test_the_papers_forms_recover_their_slopes() -> None:
    generator = np.random.default_rng(1)
    rows = [{"a": float(a), "b": float(b)} for a, b in np.exp(generator.uniform(0, 12, (60, 2)))]
    linear = np.array([3e-6 + 2e-9 * row["a"] + 5e-9 * row["b"] for row in rows])
    found = fit_paper(rows, linear, logarithmic=False)
    assert (found.constant, *found.slopes) == pytest.approx((3e-6, 2e-9, 5e-9), rel=1e-6)
    assert paper_s(found, rows) == pytest.approx(linear)
    power = np.array([1e-7 * (1 + row["a"]) ** 0.7 * (1 + row["b"]) ** 0.1 for row in rows])
    found = fit_paper(rows, 1e3 * power, logarithmic=True)
    assert found.slopes == pytest.approx((0.7, 0.1), rel=1e-6)
    assert math.exp(found.constant) == pytest.approx(1e-4)
    assert paper_s(found, rows) == pytest.approx(1e3 * power)


def test_packed_trees_are_sklearns_own(monkeypatch: pytest.MonkeyPatch) -> None:
    fitted_models = []
    real = forms._packed
    monkeypatch.setattr(forms, "_packed", lambda model: fitted_models.append(model) or real(model))
    generator = np.random.default_rng(5)
    matrix = generator.normal(size=(300, len(FEATURES))).astype(np.float32)
    matrix[:, 3] = generator.integers(0, 5, 300)
    target = np.sin(matrix[:, 0]) + 0.3 * matrix[:, 3] + 0.1 * matrix[:, 7] ** 2
    trees = fit_trees(matrix, target.astype(np.float64), np.ones(300))
    (model,) = fitted_models
    fresh = generator.normal(size=(500, len(FEATURES))).astype(np.float32)
    fresh[:, 3] = generator.integers(0, 5, 500)
    assert correction(trees, fresh) == pytest.approx(model.predict(fresh), abs=1e-5)
    assert correction(trees, matrix) == pytest.approx(model.predict(matrix), abs=1e-5)
    assert correction(trees, fresh[:0]).shape == (0,)


def test_predicting_needs_no_sklearn(monkeypatch: pytest.MonkeyPatch) -> None:
    costs = dense_costs()
    assert any(family.trees is not None for family in costs.families)
    kernels = [gemm(100, 200, 300), gemm(20, 20, 20)]
    before = [one.seconds for one in predict_kernels(costs, kernels)]
    for name in [name for name in sys.modules if name.partition(".")[0] == "sklearn"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(ImportError):
        import sklearn.ensemble  # noqa: F401
    again = costs.from_json(costs.to_json(), source="it")
    assert [one.seconds for one in predict_kernels(again, kernels)] == before


@pytest.mark.parametrize("count", [1, 5, 9, 10, 19, 20, 100, 1001])
def test_the_conformal_quantile_is_the_textbooks(count: int) -> None:
    residuals = np.random.default_rng(count).exponential(size=count)
    wanted = min(n for n in range(1, count + 2) if n >= (count + 1) * 0.9 - 1e-9)
    expected = sorted(residuals)[min(wanted, count) - 1]
    assert fitting.conformal_quantile(residuals) == pytest.approx(expected)


def test_intervals_hold_nine_of_ten_kernels_never_seen(no_trees: None) -> None:
    costs = fitted.costs_of(dense_networks(100, noise=0.15))
    (family,) = costs.families
    assert family.form == "trend"
    assert 0.87 <= family.coverage <= 0.93
    inside = total = 0
    for network in dense_networks(100, noise=0.15, seed=1):
        told = predict_kernels(costs, network.kernels)
        for one, samples in zip(told, network.kernel_s, strict=True):
            inside += abs(math.log(samples[0] / one.seconds)) <= one.log_half_width
            total += 1
    assert 0.86 <= inside / total <= 0.94
    rows = costs.sample_rows
    held = ((rows[:, 4] <= rows[:, 2]) & (rows[:, 2] <= rows[:, 5])).mean()
    assert 0.87 <= held <= 0.95


def test_what_is_predicted_was_never_fitted_on_kernels_of_the_same_network(
    no_trees: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[set[int]] = []
    real_fit, real_predicted = fitting._fit, fitting._predicted
    compared = []

    def fit(family: str, samples: fitting.Samples, *arguments: object) -> FamilyCosts:
        seen.append(set(samples.network.tolist()))
        return real_fit(family, samples, *arguments)  # type: ignore[arg-type]

    def predicted(costs: FamilyCosts, samples: fitting.Samples) -> np.ndarray:
        compared.append(seen[-1].isdisjoint(samples.network.tolist()))
        return real_predicted(costs, samples)

    monkeypatch.setattr(fitting, "_fit", fit)
    monkeypatch.setattr(fitting, "_predicted", predicted)
    (samples,) = fitting.samples_by_family(dense_networks(30)).values()
    fitting.fit_family("linear", samples)
    assert len(compared) >= fitting.PARTS
    assert all(compared)
    assert seen[-1] == set(range(30)) or any(one == set(range(30)) for one in seen), "the last fit is on all of them"


def test_a_form_that_says_less_than_nothing_cannot_win(no_trees: None, monkeypatch: pytest.MonkeyPatch) -> None:
    real = fitting._predicted

    def predicted(costs: FamilyCosts, samples: fitting.Samples) -> np.ndarray:
        if costs.form != "linear":
            return 1.5 * real(costs, samples)
        exact = samples.seconds.copy()
        exact[exact.argmin()] = -1e-6
        return exact

    monkeypatch.setattr(fitting, "_predicted", predicted)
    (samples,) = fitting.samples_by_family(dense_networks(60)).values()
    found, _ = fitting.fit_family("linear", samples)
    errors = {error.form: error.log_error for error in found.errors}
    assert errors["linear"] < errors["trend"], "but for that, it is the best"
    assert found.form != "linear"
    assert {"linear", "logarithmic", "trend"} <= set(errors), "the paper's are reported all the same"


def test_a_single_family_of_few_kernels_has_no_costs(no_trees: None) -> None:
    networks = dense_networks(20)
    few = [fitted.timed(99, [fitted.plain("Softmax", (1, 100))])]
    found = fitting.fit_costs([*networks, *few], NullProgress())
    assert [family.family for family in found.families] == ["linear"]
    with pytest.raises(ValueError, match="cannot be divided"):
        fitting.fit_costs(networks[:2], NullProgress())


def test_whole_networks_are_told_by_what_calls_take(no_trees: None) -> None:
    found = fitting.fit_costs(dense_networks(80, noise=0.02), NullProgress())
    assert np.median(np.abs(found.whole_errors)) < 0.02
    # Each network has four kernels, so that only the sum of both can be told.
    beside = 4 * found.call.per_kernel_s + found.call.per_call_s
    assert beside + found.call.empty_calls * 80e-6 == pytest.approx(70e-6, abs=5e-6)
    assert found.call.empty_calls == pytest.approx(0.6, abs=0.15)
    assert found.shared_error < 0.1


def test_within_the_sampled_range_trees_tell_and_beyond_it_the_trend_flagged() -> None:
    costs = dense_costs()
    (family,) = costs.families
    inside, huge, tiny = gemm(100, 200, 300), gemm(100_000, 8192, 8192), gemm(1, 1, 1)
    near, far, small = (predict_kernels(costs, [kernel])[0] for kernel in (inside, huge, tiny))
    assert near.beyond == ()
    assert near.known
    assert set(far.beyond) >= {"operations", "rows", "columns", "inner"}
    assert small.beyond
    assert not set(far.beyond) & UNRANGED
    trend = trend_s(family.trend, np.array([terms(huge)]))[0]
    assert far.seconds == pytest.approx(trend)
    assert far.log_half_width == pytest.approx(2 * family.bands[-1].log_half_width)
    assert far.seconds == pytest.approx(roofline_law(huge), rel=0.5)


def test_a_kind_without_samples_takes_its_nearests_trend_and_says_so() -> None:
    told = predict_kernels(
        dense_costs(), [gemm(10, 10, 10), fitted.plain("Softmax", (64, 1000)), fitted.plain("Reshape", (1, 8))]
    )
    assert [one.known for one in told] == [True, False, True]
    assert told[1].family == "softmax"
    assert told[1].seconds > 0
    assert told[1].log_half_width > 1
    assert told[2].seconds <= 1e-6
    assert predict_kernels(dense_costs(), []) == []


def test_the_ensemble_wins_where_trees_know_better() -> None:
    def law(kernel: Kernel) -> float:
        rows = kernel.operation.shape(0)[0]
        return roofline_law(kernel) * (3.0 if rows > 200 else 1.0)

    costs = fitted.costs_of(dense_networks(60, law=law))
    (family,) = costs.families
    errors = {error.form: error.median_error for error in family.errors}
    assert family.form == "ensemble"
    assert errors["ensemble"] < min(errors["trend"], errors["linear"], errors["logarithmic"])
    assert [point.networks for point in family.learning] == sorted(point.networks for point in family.learning)


def test_bands_are_in_order_and_the_last_has_no_end(no_trees: None) -> None:
    (family,) = fitted.costs_of(dense_networks(100, noise=0.1)).families
    limits = [band.up_to_s for band in family.bands]
    assert limits == sorted(limits)
    assert limits[-1] >= 1e9
    with pytest.raises(ValueError, match="in order"):
        replace(family, bands=(Band(up_to_s=1.0, log_half_width=1), Band(up_to_s=0.5, log_half_width=1)))
    with pytest.raises(ValueError, match="trees"):
        replace(family, form="ensemble")


def test_a_models_own_kernels_are_its_bytes(no_trees: None) -> None:
    network: TimedNetwork = dense_networks(1)[0]
    (samples,) = fitting.samples_by_family([network]).values()
    expected = feature_matrix(network.kernels, surroundings(network.kernels, network.reference_s))
    assert (samples.features == expected).all()
    assert samples.terms.shape == (4, len(TERMS))

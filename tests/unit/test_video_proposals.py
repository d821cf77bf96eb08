"""Predictors of region proposals: a contract that all pass, exact mathematics, and damaged weights."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from offload.errors import OffloadError
from offload.training.proposal_predictor import ProposalNetwork
from offload.video.boxes import areas
from offload.video.proposals import lstm
from offload.video.proposals.base import Predictor
from offload.video.proposals.catalogue import PREDICTORS, make_predictor
from offload.video.proposals.hold import Hold
from offload.video.proposals.kalman import Kalman
from offload.video.proposals.linear import Linear, fitted_line
from offload.video.proposals.quality import EXPANSIONS, prediction_quality
from offload.video.proposals.trajectories import Trajectories, divided, examples_of, trajectories_of
from offload.video.proposals.weights_file import FORMAT, PredictorWeights, read_weights, weights_bytes
from offload.video.truth import FrameTruth, GroundTruth

WIDTH, HEIGHT = 1280, 720
FRAMES = 14

Boxes = NDArray[np.float64]


def drawn_weights(seed: int = 0) -> PredictorWeights:
    random = np.random.default_rng(seed)
    tensors = {name: random.normal(0, 0.5, shape).astype(np.float32) for name, shape in lstm.SHAPES.items()}
    return PredictorWeights(tensors=tensors, recipe={"source": "drawn", "seed": seed})


def made(name: str) -> Predictor:
    return lstm.AttentionLstm(drawn_weights()) if name == "drawn lstm" else make_predictor(name)


@pytest.fixture(params=[*PREDICTORS, "drawn lstm"])
def predictor(request: pytest.FixtureRequest) -> Predictor:
    return made(request.param)


def histories(seed: int, objects: int = 6, frames: int = FRAMES) -> Boxes:
    """Objects in the middle of the frame that wander; the first was seen once, the second twice, one has a gap."""
    random = np.random.default_rng(seed)
    centre = random.uniform((400, 250), (800, 450), (objects, 2))[:, None] + np.cumsum(
        random.normal(0, 4, (objects, frames, 2)), axis=1
    )
    half = random.uniform(15, 60, (objects, 1, 2)) * np.exp(random.normal(0, 0.03, (objects, frames, 2)))
    boxes = np.concatenate([centre - half, centre + half], axis=2)
    boxes[0, :-1] = np.nan
    boxes[1, :-2] = np.nan
    boxes[2, -3] = np.nan
    boxes[3, -1] = np.nan
    return boxes


def predicted(predictor: Predictor, history: Boxes) -> Boxes:
    return predictor.predict(history, width=WIDTH, height=HEIGHT)


@pytest.mark.parametrize("frames", [1, 2, 3, 5, 9, 14, 30])
def test_boxes_are_finite_ordered_and_in_the_frame(predictor: Predictor, frames: int) -> None:
    history = histories(frames, objects=8, frames=max(frames, 3))[:, -frames:]
    if frames == 1:
        history = np.nan_to_num(history, nan=300.0)
    before = history.copy()
    boxes = predicted(predictor, history)
    assert boxes.shape == (8, 4)
    assert boxes.dtype == np.float64
    assert np.isfinite(boxes).all()
    assert (boxes[:, 2:] >= boxes[:, :2]).all()
    assert (boxes >= 0).all()
    assert (boxes[:, [0, 2]] <= WIDTH).all()
    assert (boxes[:, [1, 3]] <= HEIGHT).all()
    np.testing.assert_array_equal(history, before)


def test_no_objects_have_no_boxes(predictor: Predictor) -> None:
    assert predicted(predictor, np.zeros((0, predictor.window, 4))).shape == (0, 4)


def test_an_object_that_was_never_seen_is_refused(predictor: Predictor) -> None:
    history = histories(0)
    history[4] = np.nan
    with pytest.raises(ValueError, match="seen in none"):
        predicted(predictor, history)


def test_one_frame_is_held(predictor: Predictor) -> None:
    history = histories(1)
    np.testing.assert_allclose(predicted(predictor, history)[0], history[0, -1], atol=1e-6)
    np.testing.assert_allclose(predicted(predictor, history[4:, -1:]), history[4:, -1], atol=1e-6)


def test_an_object_missed_for_the_whole_window_is_where_it_was_last_seen(predictor: Predictor) -> None:
    history = np.full((1, predictor.window + 3, 4), np.nan)
    history[0, :2] = [[100, 100, 150, 160], [110, 100, 160, 160]]
    np.testing.assert_allclose(predicted(predictor, history)[0], history[0, 1], atol=1e-6)


@pytest.mark.parametrize("name", [*PREDICTORS])
def test_what_stands_stays(name: str) -> None:
    box = np.array([300.0, 200.0, 380.0, 320.0])
    boxes = predicted(made(name), np.broadcast_to(box, (1, FRAMES, 4)).copy())
    np.testing.assert_allclose(boxes[0], box, atol=0.02 * 80 if name == "lstm" else 1e-6)


def test_objects_are_predicted_each_by_itself(predictor: Predictor) -> None:
    history, order = histories(3), np.array([4, 2, 0, 5, 1, 3])
    boxes = predicted(predictor, history)
    np.testing.assert_allclose(predicted(predictor, history[order]), boxes[order], atol=1e-9)
    for index in range(len(history)):
        np.testing.assert_allclose(predicted(predictor, history[index : index + 1])[0], boxes[index], atol=1e-9)


def test_nothing_is_kept_between_calls(predictor: Predictor) -> None:
    history = histories(4)
    boxes = predicted(predictor, history)
    predicted(predictor, histories(5))
    np.testing.assert_array_equal(predicted(predictor, history), boxes)


def test_what_is_before_the_window_counts_for_nothing(predictor: Predictor) -> None:
    history = histories(6)
    other = history.copy()
    other[4:, : FRAMES - predictor.window] += 40
    np.testing.assert_array_equal(predicted(predictor, other)[4:], predicted(predictor, history)[4:])


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1000), right=st.floats(-150, 150), down=st.floats(-100, 100))
def test_what_is_moved_is_predicted_moved(seed: int, right: float, down: float) -> None:
    history, offset = histories(seed), np.array([right, down, right, down])
    for name in (*PREDICTORS, "drawn lstm"):
        boxes = predicted(made(name), history)
        inside = (boxes > 101).all(axis=1) & (boxes[:, 2] < WIDTH - 151) & (boxes[:, 3] < HEIGHT - 101)
        inside &= boxes[:, 0] > 151
        moved = predicted(made(name), history + offset)
        np.testing.assert_allclose(moved[inside], boxes[inside] + offset, atol=1e-6)


def straight(frames: int, *, start: tuple[float, ...], velocity: tuple[float, ...]) -> Boxes:
    return (np.array(start) + np.arange(frames)[:, None] * np.array(velocity))[None]


def test_the_line_goes_on_exactly() -> None:
    path = straight(FRAMES + 1, start=(300, 200, 380, 320), velocity=(7, -3, 8, -2.5))
    for window in (2, 3, 4, 8):
        np.testing.assert_allclose(predicted(Linear(window), path[:, :-1])[0], path[0, -1], atol=1e-9)
    gap = path[:, :-1].copy()
    gap[0, [-2, -4]] = np.nan
    np.testing.assert_allclose(predicted(Linear(8), gap)[0], path[0, -1], atol=1e-9)


def test_the_line_is_that_of_least_squares() -> None:
    history = histories(7)[3:5]
    newest, velocity = fitted_line(history)
    for row in range(2):
        known = ~np.isnan(history[row, :, 0])
        time = np.arange(1 - FRAMES, 1)[known]
        slope, level = np.polyfit(time, history[row, known], 1)
        np.testing.assert_allclose(velocity[row], slope, atol=1e-9)
        np.testing.assert_allclose(newest[row], level, atol=1e-9)


def test_a_converged_kalman_filter_goes_on_along_a_line() -> None:
    path = straight(61, start=(300, 200, 380, 320), velocity=(6, -2, 6, -2))
    boxes = predicted(Kalman(60), path[:, :-1])
    np.testing.assert_allclose(boxes[0], path[0, -1], atol=1e-3)
    assert abs(predicted(Kalman(2), path[:, :2])[0] - path[0, 2]).max() > abs(boxes[0] - path[0, -1]).max()


def sort_filter(path: Boxes) -> Boxes:
    """The filter of seven states as textbooks have it, for one object: an independent oracle."""
    step = np.eye(7)
    step[[0, 1, 2], [4, 5, 6]] = 1
    look = np.eye(4, 7)
    process = np.diag([1, 1, 1, 1, 0.01, 0.01, 0.0001])
    sensor = np.diag([1.0, 1, 10, 10])
    state = covariance = None
    for box in path:
        if state is not None:
            if state[2] + state[6] <= 0:
                state[6] = 0
            state, covariance = step @ state, step @ covariance @ step.T + process
        if np.isnan(box).any():
            continue
        wide, high = box[2] - box[0], box[3] - box[1]
        measured = np.array([(box[0] + box[2]) / 2, (box[1] + box[3]) / 2, wide * high, wide / high])
        if state is None:
            state = np.concatenate([measured, np.zeros(3)])
            covariance = np.diag([10.0, 10, 10, 10, 1e4, 1e4, 1e4])
            continue
        gain = covariance @ look.T @ np.linalg.inv(look @ covariance @ look.T + sensor)
        state = state + gain @ (measured - look @ state)
        covariance = (np.eye(7) - gain @ look) @ covariance
    if state[2] + state[6] <= 0:
        state[6] = 0
    u, v, area, ratio = (step @ state)[:4]
    wide = np.sqrt(area * ratio)
    high = area / wide
    return np.array([u - wide / 2, v - high / 2, u + wide / 2, v + high / 2])


@pytest.mark.parametrize("seed", range(5))
def test_kalman_is_sorts_filter(seed: int) -> None:
    history = histories(seed, objects=8)
    history[6] += np.linspace(0, 200, FRAMES)[:, None] * np.array([1, 0.5, 1.5, 0.6])
    shrinking = np.linspace(40, 4, FRAMES)[:, None] * np.array([-1, -1, 1, 1])
    history[7] = np.array([600, 300, 600, 300]) + shrinking
    right = np.stack([sort_filter(path) for path in history])
    np.testing.assert_allclose(predicted(Kalman(FRAMES), history), right, atol=1e-6)


def test_numpys_lstm_is_torchs() -> None:
    weights = drawn_weights(3)
    network = ProposalNetwork()
    network.load_state_dict({name: torch.from_numpy(tensor) for name, tensor in weights.tensors.items()})
    features = np.random.default_rng(4).normal(0, 1, (9, lstm.WINDOW, lstm.READ))
    right = network(torch.from_numpy(features).float()).detach().numpy()
    doubles = {name: tensor.astype(np.float64) for name, tensor in weights.tensors.items()}
    np.testing.assert_allclose(lstm.told(doubles, features), right, atol=1e-5)
    assert np.ptp(right) > 0.1
    assert set(network.state_dict()) == set(lstm.SHAPES)


def test_an_lstm_that_tells_nothing_is_linear_motion() -> None:
    weights = drawn_weights(5)
    silent = {name: tensor * (not name.startswith("telling")) for name, tensor in weights.tensors.items()}
    history = histories(8)
    boxes = predicted(lstm.AttentionLstm(PredictorWeights(tensors=silent, recipe={})), history)
    np.testing.assert_allclose(boxes, predicted(Linear(), history), atol=1e-9)
    other = predicted(lstm.AttentionLstm(weights), history)
    np.testing.assert_array_equal(other[0], boxes[0])
    assert (np.abs(other[1:] - boxes[1:]).max(axis=1) > 0.1).all()


def test_the_shipped_weights_are_whole_and_tell_their_recipe() -> None:
    weights = read_weights(lstm.EMBEDDED, lstm.SHAPES)
    assert weights.parameters == sum(tensor.size for tensor in weights.tensors.values()) == 1165
    assert {"source", "seed", "steps", "noises", "loss_last"} <= set(weights.recipe)
    assert lstm.EMBEDDED.stat().st_size < 20_000


def test_weights_are_what_was_saved(tmp_path: Path) -> None:
    weights, path = drawn_weights(6), tmp_path / "w.safetensors"
    path.write_bytes(weights_bytes(weights))
    found = read_weights(path, lstm.SHAPES)
    assert (found.sha256, dict(found.recipe)) == (weights.sha256, dict(weights.recipe))
    history = histories(9)
    np.testing.assert_array_equal(
        predicted(make_predictor(str(path)), history), predicted(lstm.AttentionLstm(weights), history)
    )


def damaged_files(folder: Path) -> dict[str, Path]:
    from safetensors.numpy import save

    weights = drawn_weights(7)
    good = weights_bytes(weights)
    flipped = bytearray(good)
    flipped[-5] ^= 0x10
    wrong = dict(weights.tensors) | {"telling.bias": np.zeros(5, np.float32)}
    infinite = dict(weights.tensors) | {"telling.bias": np.full(4, np.inf, np.float32)}
    header = int.from_bytes(good[:8], "little")

    def about(words: str) -> bytes:
        told = json.loads(good[8 : 8 + header]) | {"__metadata__": {"predictor": words}}
        text = json.dumps(told).encode()
        return len(text).to_bytes(8, "little") + text + good[8 + header :]

    said = {"format": FORMAT, "sha256": weights.sha256}
    contents = {
        "empty": b"",
        "text": b"no weights at all",
        "truncated": good[:-100],
        "flipped": bytes(flipped),
        "no format": save(dict(weights.tensors)),
        "shapes": weights_bytes(PredictorWeights(tensors=wrong, recipe={})),
        "infinite": weights_bytes(PredictorWeights(tensors=infinite, recipe={})),
        "half a document": about("{"),
        "a list": about("[]"),
        "another format": about(json.dumps({**said, "recipe": {}, "format": "2"})),
        "no recipe": about(json.dumps(said)),
        "recipe": about(json.dumps({**said, "recipe": "half"})),
        "another hash": about(json.dumps({**said, "recipe": {}, "sha256": "0"})),
        "large": good + bytes(1 << 20),
    }
    paths = {}
    for name, content in contents.items():
        paths[name] = folder / f"{name.replace(' ', '-')}.safetensors"
        paths[name].write_bytes(content)
    paths["missing"] = folder / "missing.safetensors"
    (folder / "folder.safetensors").mkdir()
    paths["folder"] = folder / "folder.safetensors"
    return paths


def test_damaged_weights_are_one_line(tmp_path: Path) -> None:
    for name, path in damaged_files(tmp_path).items():
        with pytest.raises(OffloadError) as failure:
            make_predictor(str(path))
        assert str(path) in failure.value.message, name
        assert "\n" not in failure.value.message, name
        assert "train-predictor" in failure.value.hint, name


def test_an_unknown_predictor_is_one_line() -> None:
    with pytest.raises(OffloadError, match="no predictor is called 'oracle'") as failure:
        make_predictor("oracle")
    assert "kalman" in failure.value.hint


def truth_of(frames: list[list[tuple[tuple[float, float, float, float], int, float]]]) -> GroundTruth:
    return GroundTruth(
        classes=("it",),
        frames=tuple(FrameTruth.of([(box, 0, identity, seen) for box, identity, seen in rows]) for rows in frames),
    )


def test_paths_are_those_of_the_truth_and_end_where_an_object_is_hidden() -> None:
    def at(x: float) -> tuple[float, float, float, float]:
        return (x, 10.0, x + 20, 30.0)

    truth = truth_of(
        [
            [(at(0), 4, 1.0), (at(600), 2, 1.0)],
            [(at(610), 2, 1.0), (at(5), 4, 1.0)],
            [(at(620), 2, 0.1), (at(10), 4, 1.0)],
            [(at(630), 2, 1.0)],
            [(at(632), 2, 1.0), ((700.0, 5.0, 700.0, 9.0), 9, 1.0)],
            [((630.0, 10.0, 660.0, 30.0), 2, 1.0), ((700.0, 5.0, 702.0, 9.0), 9, 1.0)],
        ]
    )
    found = trajectories_of(truth, width=640, height=480)
    assert [path[:, 0].tolist() for path in found.paths] == [[600, 610], [630, 632, 630], [0, 5, 10]]
    assert found.paths[1][-1].tolist() == [630, 10, 640, 30]
    rest, held = divided(found, 2)
    assert [len(path) for path in rest.paths] == [3]
    assert [len(path) for path in held.paths] == [2, 3]


def test_what_is_right_is_never_told() -> None:
    path = np.random.default_rng(0).uniform(100, 200, (12, 4)) + np.array([0, 0, 200, 200])
    part = Trajectories(paths=(path, path[:1], path[3:5]), width=WIDTH, height=HEIGHT)
    examples = examples_of(part, window=4)
    assert len(examples) == 11 + 0 + 1
    for index in range(11):
        known = path[max(0, index - 3) : index + 1]
        np.testing.assert_array_equal(examples.history[index, -len(known) :], known)
        assert np.isnan(examples.history[index, : 4 - len(known)]).all()
        np.testing.assert_array_equal(examples.right[index], path[index + 1])
    noisy = examples_of(part, window=4, noise=0.03, seed=1)
    np.testing.assert_array_equal(noisy.right, examples.right)
    off = (noisy.history - examples.history)[~np.isnan(examples.history)]
    assert np.abs(off).min() > 0
    np.testing.assert_array_equal(noisy.history, examples_of(part, window=4, noise=0.03, seed=1).history)


def test_noise_has_the_spread_that_is_said() -> None:
    path = np.broadcast_to(np.array([400.0, 200.0, 600.0, 300.0]), (4000, 4))
    told = examples_of(Trajectories(paths=(path,), width=WIDTH, height=HEIGHT), window=1, noise=0.03).history[:, 0]
    np.testing.assert_allclose((told - path[1:]).std(axis=0) / [200, 100, 200, 100], 0.03, rtol=0.06)


def test_quality_is_counted_over_all_examples() -> None:
    steps = np.arange(5)[:, None] * np.array([10.0, 0, 10, 0]) + np.array([100.0, 100, 200, 200])
    one = Trajectories(paths=(steps,), width=WIDTH, height=HEIGHT)
    other = Trajectories(paths=(np.broadcast_to(steps[0], (3, 4)),), width=400, height=400)
    held = prediction_quality("hold", Hold(), [one, other])
    moved = 90 / 110
    assert held.examples == 6
    assert held.mean_iou == pytest.approx((4 * moved + 2) / 6)
    assert tuple(held.coverage) == EXPANSIONS
    assert held.coverage[0.0] == pytest.approx((4 * 0.9 + 2) / 6)
    assert held.coverage[0.05] == pytest.approx((4 * 0.95 + 2) / 6)
    assert held.coverage[0.1] == pytest.approx(1)
    linear = prediction_quality("linear", Linear(), [one])
    assert linear.mean_iou == pytest.approx((moved + 3) / 4)
    assert areas(steps).min() > 0
    with pytest.raises(ValueError, match="nothing to judge"):
        prediction_quality("hold", Hold(), [Trajectories(paths=(), width=400, height=400)])

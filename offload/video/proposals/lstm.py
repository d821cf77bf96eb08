"""ELF's attention LSTM, which tells by how much an object will leave the straight line that it is on.

Zhang et al., MobiCom 2021: an encoder LSTM reads the boxes of the past frames, an attention network weighs them, a
decoder LSTM tells the next. Here what is read and told are deviations from linear motion, in shares of the object's
side: published weights that read and told boxes themselves do worse than repeating the last one.

Inference is NumPy alone; `offload.training.proposal_predictor` trains the same network in torch.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from offload.video.proposals.base import newest_frames, seen, within_frame
from offload.video.proposals.linear import WINDOW as LINE
from offload.video.proposals.linear import fitted_line
from offload.video.proposals.weights_file import PredictorWeights, read_weights

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from offload.video.boxes import Boxes
    from offload.video.proposals.base import History

    Features = NDArray[np.float64]

WINDOW = 8
READ, TOLD, HIDDEN = 5, 4, 8
GAIN = 10.0
"""What shares are multiplied by, so that the network reads and tells numbers near 1."""
EMBEDDED = Path(__file__).parent / "weights" / "lstm.safetensors"
"""Trained on made trajectories of `digits-in-motion` for training: `python -m
offload.training.recipes.proposal_predictor`."""
SHAPES = {
    "encoder.weight_ih_l0": (4 * HIDDEN, READ),
    "encoder.weight_hh_l0": (4 * HIDDEN, HIDDEN),
    "encoder.bias_ih_l0": (4 * HIDDEN,),
    "encoder.bias_hh_l0": (4 * HIDDEN,),
    "attention.0.weight": (HIDDEN, 2 * HIDDEN),
    "attention.0.bias": (HIDDEN,),
    "attention.2.weight": (1, HIDDEN),
    "attention.2.bias": (1,),
    "joining.weight": (TOLD, HIDDEN + READ),
    "joining.bias": (TOLD,),
    "decoder.weight_ih_l0": (4 * HIDDEN, TOLD),
    "decoder.weight_hh_l0": (4 * HIDDEN, HIDDEN),
    "decoder.bias_ih_l0": (4 * HIDDEN,),
    "decoder.bias_hh_l0": (4 * HIDDEN,),
    "telling.weight": (TOLD, HIDDEN),
    "telling.bias": (TOLD,),
}
"""Of the weights, by torch's names."""


class AttentionLstm:
    """Linear motion and what the network adds to it; an object that was seen once stays.

    Args:
        weights: Trained ones.
    """

    name = "lstm"
    window = WINDOW

    def __init__(self, weights: PredictorWeights) -> None:
        self.weights = weights
        self._tensors = {name: tensor.astype(np.float64) for name, tensor in weights.tensors.items()}

    def predict(self, history: History, *, width: float, height: float) -> Boxes:
        """See `Predictor.predict`."""
        history = newest_frames(history, WINDOW)
        boxes, features, side = read(history, width=width, height=height)
        moving = seen(history).sum(axis=1) > 1
        boxes[moving] += told(self._tensors, features[moving]) * side[moving] / GAIN
        return within_frame(boxes, width, height)


@cache
def embedded() -> AttentionLstm:
    """With the weights that come with the program.

    Raises:
        OffloadError: they are damaged.
    """
    return trained(EMBEDDED)


def trained(path: Path) -> AttentionLstm:
    """With the weights in a file.

    Raises:
        OffloadError: it is not there, or damaged.
    """
    return AttentionLstm(read_weights(path, SHAPES))


def read(history: History, *, width: float, height: float) -> tuple[Boxes, Features, NDArray[np.float64]]:
    """Linear motion, and what the network reads.

    Args:
        history: Shape (objects, at most WINDOW frames, 4).
        width: Of the frame, pixels.
        height: Likewise.

    Returns:
        Where each object is next on the line through the LINE newest frames, (objects, 4). Features, (objects, frames,
        5): how far each side is from that line, in shares of the object's side, and the root of its share of the
        frame's area, all times GAIN; zeros where it was not seen. That side in pixels, (objects, 1).

    Raises:
        ValueError: an object was seen in none of the frames.
    """
    there = seen(history)[:, :, None]
    newest, velocity = fitted_line(newest_frames(history, LINE))
    time = np.arange(1 - history.shape[1], 1, dtype=np.float64)[None, :, None]
    places = np.where(there, history, 0.0)
    sides = np.maximum(places[:, :, 2:] - places[:, :, :2], 0.0)
    side = np.maximum(sides.sum(axis=(1, 2)) / (2 * there.sum(axis=(1, 2))), 1.0)[:, None]
    away = np.where(there, places - newest[:, None] - velocity[:, None] * time, 0.0) / side[:, None]
    area = np.sqrt(sides.prod(axis=2, keepdims=True) / (width * height))
    return newest + velocity, GAIN * np.concatenate([away, area], axis=2), side


def told(tensors: dict[str, NDArray[np.float64]], features: Features) -> NDArray[np.float64]:
    """The network: (objects, frames, 5) to (objects, 4)."""
    before = features @ tensors["encoder.weight_ih_l0"].T + tensors["encoder.bias_ih_l0"]
    hidden = cell = np.zeros((len(features), HIDDEN))
    states = []
    for frame in range(features.shape[1]):
        hidden, cell = _lstm_step(tensors, "encoder", before[:, frame], hidden, cell)
        states.append(hidden)
    encoded = np.stack(states, axis=1)

    asked = np.concatenate([encoded, np.broadcast_to(hidden[:, None], encoded.shape)], axis=2)
    scores = np.tanh(asked @ tensors["attention.0.weight"].T + tensors["attention.0.bias"])
    scores = scores @ tensors["attention.2.weight"].T + tensors["attention.2.bias"]
    weight = np.exp(scores - scores.max(axis=1, keepdims=True))
    context = (weight * encoded).sum(axis=1) / weight.sum(axis=1)

    joined = np.concatenate([context, features[:, -1]], axis=1) @ tensors["joining.weight"].T + tensors["joining.bias"]
    before = joined @ tensors["decoder.weight_ih_l0"].T + tensors["decoder.bias_ih_l0"]
    hidden, _ = _lstm_step(tensors, "decoder", before, hidden, cell)
    answer: NDArray[np.float64] = hidden @ tensors["telling.weight"].T + tensors["telling.bias"]
    return answer


def _lstm_step(
    tensors: dict[str, NDArray[np.float64]],
    name: str,
    before: NDArray[np.float64],
    hidden: NDArray[np.float64],
    cell: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """One step of torch's LSTM, whose gates are input, forget, cell and output in this order."""
    gates = before + hidden @ tensors[f"{name}.weight_hh_l0"].T + tensors[f"{name}.bias_hh_l0"]
    opened = 0.5 * (1 + np.tanh(0.5 * gates))  # the logistic function, which overflows nowhere in this form
    candidate = np.tanh(gates[:, 2 * HIDDEN : 3 * HIDDEN])
    cell = opened[:, HIDDEN : 2 * HIDDEN] * cell + opened[:, :HIDDEN] * candidate
    return opened[:, 3 * HIDDEN :] * np.tanh(cell), cell

"""`cs-dct` and `cs-wavelet`: random measurements cross, the server looks for the sparsest signal that explains them.

Offload-CS of DeepCOD (Yao et al., 2020). Each channel x is measured as y = R F D x: random signs D, an orthonormal
cosine transform F of the whole channel, and a random choice of rows R (a structurally random matrix: Do, Gan, Nguyen
and Tran, 2012), which fits any basis and needs no stored matrix. Both sides draw D and R from the same seed. With an
orthonormal basis B the server minimises |y - R F D B c|^2 / 2 + t |w c|_1 by iterative soft thresholding, accelerated
(Beck and Teboulle, 2009), all channels at once; w grows with the frequency, as signals have less in high ones. R F D B
has orthonormal rows: the step is 1. Where the matrix is small the server multiplies with it, else it transforms.
"""

from __future__ import annotations

import itertools
import math
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np

from offload.codecs.base import HeadedCodec, require_float32
from offload.codecs.interpolate import spatial_axes
from offload.codecs.quantised import dequantise, quantise, quantised_bytes
from offload.errors import OffloadError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from offload.codecs.base import Array
    from offload.codecs.quantised import Floats
    from offload.graph.model_graph import Tensor

Basis = Literal["dct", "wavelet"]
_WAVELET = "db2"
_MOST_SCALES = 3
_MOST_MULTIPLIED = 2**17
"""Elements of a matrix up to which multiplying with it is faster than transforming, mostly many times."""
_FIRST_THRESHOLD, _LAST_THRESHOLD = 0.3, 0.01
"""Of the largest coefficient of each channel; falls from one to the other in the first two thirds of the iterations."""


class CompressedSensing(HeadedCodec):
    """Random measurements of each channel, quantised as `int8` does it.

    Args:
        basis: In which the channels are taken to be sparse.
        text: What makes it again.
        tensor: A feature map (batch, channels, height, width) or a sequence (batch, steps, features).
        ratio: Measurements for each value of a channel.
        bits: Of each measurement, 1 to 8.
        iterations: Of the server's search.

    Raises:
        OffloadError: the tensor is neither, or has no two values along each side of a channel.
    """

    def __init__(self, basis: Basis, text: str, tensor: Tensor, ratio: float, bits: int, iterations: int) -> None:
        require_float32(text, tensor)
        axes = spatial_axes(text, tensor.shape)
        self._sides = tuple(tensor.shape[axis] for axis in axes)
        self._signals = math.prod(tensor.shape) // math.prod(self._sides)
        if min(self._sides) < 2:
            raise OffloadError(f"codec {text} needs 2 values at least along each side of a channel, not {tensor.shape}")
        self._basis = basis
        self._bits = bits
        self._iterations = iterations
        self._scales = min(_MOST_SCALES, min(self._sides).bit_length() - 1) if basis == "wavelet" else 0
        grain = 2**self._scales
        self._padded = tuple(-(-side // grain) * grain for side in self._sides)
        self._measurements = max(1, round(ratio * math.prod(self._sides)))
        # As a sequence of one feature for each signal, every signal gets its own scale.
        self._crossing = (1, self._measurements, self._signals)
        super().__init__(f"cs-{basis}", text, tensor, quantised_bytes(self._crossing, bits))

    def encode_body(self, array: Array) -> bytes:
        """The quantised measurements."""
        signs, rows = self._drawn
        padding = [(0, 0), *((0, new - old) for new, old in zip(self._padded, self._sides, strict=True))]
        signals = np.pad(_to_signals(np.asarray(array, np.float32), len(self._sides)), padding, mode="edge")
        measured = _cosine(signals.reshape(self._signals, -1) * signs)[:, rows]
        return quantise(np.ascontiguousarray(measured.T)[None].astype(np.float32), self._bits, self.text)

    def decode_body(self, body: bytes) -> Array:
        """The sparsest signals that were found."""
        measured = dequantise(body, self._crossing, self._bits)[0].T
        multiplied = self._measurements * math.prod(self._padded) <= _MOST_MULTIPLIED
        measure, explain = (self._times, self._transposed_times) if multiplied else (self._measure, self._explain)
        coefficients = _sparsest(measure, explain, measured, self._weights(), self._iterations)
        signals = _synthesised(coefficients, self._basis, self._scales)
        cropped = signals[(slice(None), *(slice(side) for side in self._sides))]
        return _from_signals(cropped, self.tensor.shape).astype(np.float32)

    def _measure(self, coefficients: Floats) -> Floats:
        """R F D B of coefficients, (signals, *sides); one row of measurements for each signal."""
        signs, rows = self._drawn
        signals = _synthesised(coefficients, self._basis, self._scales)
        return _cosine(signals.reshape(len(signals), -1) * signs)[:, rows]

    def _explain(self, measured: Floats) -> Floats:
        """Its transpose, of one row of measurements for each signal."""
        signs, rows = self._drawn
        spectrum = np.zeros((len(measured), math.prod(self._padded)), np.float32)
        spectrum[:, rows] = measured
        signals = (_inverse_cosine(spectrum) * signs).reshape(-1, *self._padded)
        return _analysed(signals, self._basis, self._scales)

    def _times(self, coefficients: Floats) -> Floats:
        """As `_measure`, by the matrix."""
        return coefficients.reshape(len(coefficients), -1) @ self._matrix.T

    def _transposed_times(self, measured: Floats) -> Floats:
        """As `_explain`, by the matrix."""
        return (measured @ self._matrix).reshape(-1, *self._padded)

    @cached_property
    def _matrix(self) -> Floats:
        """R F D B, (measurements, values of a channel): a row is what one measurement alone explains."""
        return self._explain(np.eye(self._measurements, dtype=np.float32)).reshape(self._measurements, -1)

    def _weights(self) -> Floats:
        """What a coefficient costs: as much as its frequency is high, 1 on average."""
        sides = []
        for side in self._padded:
            frequency = np.arange(side)
            for scale in range(self._scales):
                frequency[side >> (scale + 1) : side >> scale] = side >> (scale + 1)
            if self._basis == "wavelet":
                frequency[: side >> self._scales] = 0
            sides.append(frequency)
        squares = [np.square(side) for side in np.meshgrid(*sides, indexing="ij")]
        frequency = np.sqrt(np.sum(squares, axis=0))
        return np.asarray(frequency / max(float(frequency.mean()), 1e-9), np.float32)

    @cached_property
    def _drawn(self) -> tuple[Floats, NDArray[np.int64]]:
        """The signs and the rows: PCG64's raw output, which no version of NumPy changes."""
        count = math.prod(self._padded)
        words = np.random.PCG64(count).random_raw(2 * count)
        signs = np.where(words[:count] >> np.uint64(63), np.float32(1), np.float32(-1))
        return signs, np.sort(np.argsort(words[count:], kind="stable")[: self._measurements])


def _sparsest(
    measure: Callable[[Floats], Floats],
    explain: Callable[[Floats], Floats],
    measured: Floats,
    weights: Floats,
    iterations: int,
) -> Floats:
    """Coefficients that explain what was measured, by accelerated soft thresholding with a falling threshold."""
    start = explain(measured)
    axes = tuple(range(1, start.ndim))
    largest = np.abs(start).max(axis=axes, keepdims=True)
    found = ahead = np.zeros_like(start)
    momentum = 1.0
    for iteration in range(iterations):
        progress = min(1.0, iteration / max(1.0, iterations * 2 / 3))
        threshold = weights * largest * np.float32(_FIRST_THRESHOLD * (_LAST_THRESHOLD / _FIRST_THRESHOLD) ** progress)
        stepped = ahead + explain(measured - measure(ahead))
        before, found = found, np.sign(stepped) * np.maximum(np.abs(stepped) - threshold, 0)
        faster = (1 + math.sqrt(1 + 4 * momentum**2)) / 2
        ahead = found + np.float32((momentum - 1) / faster) * (found - before)
        momentum = faster
    return found


def _to_signals(array: Floats, sides: int) -> Floats:
    """A signal for each channel of each example, its sides last."""
    if sides == 2:
        return array.reshape(-1, *array.shape[2:])
    return np.ascontiguousarray(array.transpose(0, 2, 1)).reshape(-1, array.shape[1])


def _from_signals(signals: Floats, shape: tuple[int, ...]) -> Floats:
    if len(shape) == 4:
        return signals.reshape(shape)
    return np.ascontiguousarray(signals.reshape(shape[0], shape[2], shape[1]).transpose(0, 2, 1))


def _cosine(rows: Floats) -> Floats:
    from scipy import fft

    return np.asarray(fft.dct(rows, norm="ortho", axis=1))


def _inverse_cosine(rows: Floats) -> Floats:
    from scipy import fft

    return np.asarray(fft.idct(rows, norm="ortho", axis=1))


def _analysed(signals: Floats, basis: Basis, scales: int) -> Floats:
    """Coefficients of each signal in an orthonormal basis, as many as it has values, in the same shape."""
    from scipy import fft

    axes = tuple(range(1, signals.ndim))
    if basis == "dct":
        return np.asarray(fft.dctn(signals, norm="ortho", axes=axes))
    import pywt

    coefficients = signals.copy()
    for scale in range(scales):
        corner = (slice(None), *(slice(side >> scale) for side in signals.shape[1:]))
        for key, part in pywt.dwtn(coefficients[corner], _WAVELET, "periodization", axes=axes).items():
            coefficients[_band(key, signals.shape[1:], scale)] = part
    return coefficients


def _synthesised(coefficients: Floats, basis: Basis, scales: int) -> Floats:
    """The signals of which `_analysed` gave the coefficients."""
    from scipy import fft

    axes = tuple(range(1, coefficients.ndim))
    if basis == "dct":
        return np.asarray(fft.idctn(coefficients, norm="ortho", axes=axes))
    import pywt

    signals = coefficients.copy()
    sides = coefficients.shape[1:]
    for scale in reversed(range(scales)):
        parts = {
            "".join(key): signals[_band("".join(key), sides, scale)]
            for key in itertools.product("ad", repeat=len(axes))
        }
        corner = (slice(None), *(slice(side >> scale) for side in sides))
        signals[corner] = pywt.idwtn(parts, _WAVELET, "periodization", axes=axes)
    return signals


def _band(key: str, sides: tuple[int, ...], scale: int) -> tuple[slice, ...]:
    """Where the approximation (a) or the detail (d) along each side lies at a scale."""
    halves = [side >> (scale + 1) for side in sides]
    return (
        slice(None),
        *(slice(half) if kind == "a" else slice(half, 2 * half) for kind, half in zip(key, halves, strict=True)),
    )

"""Trains the detectors of digits and writes them as ONNX: `python -m offload.training.recipes.digits_detector [tiny]`.

A small network for clips like `digits-in-motion`'s: centres on a heat map, as CenterNet has them (Zhou, Wang and
Krähenbühl, "Objects as Points", 2019), depthwise convolutions throughout. It tells where digits are, not which. Every
step takes crops that no step took before, drawn as clips for training are: other drawings, other pieces of photographs
and other motion than in clips for testing. Nothing is chosen by a validation loss. 24 minutes on a core that was
shared; the tiny one, 15.
"""

from __future__ import annotations

import hashlib
import itertools
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from onnx import ModelProto
from torch import Tensor, nn
from torch.nn import functional

from offload.datasets.base import Split
from offload.datasets.digits_in_motion.scene import SceneSettings, draw_scene
from offload.models.torch_export import quiet
from offload.video.truth import FrameTruth

SEED, STEPS, BATCH, SIDE, PEAK_RATE, DECAY = 0, 1800, 12, 256, 4e-3, 1e-3
STRIDE = 4
WEIGHTS = Path(__file__).parents[2] / "detectors" / "weights"
_WIDTHS, _JOINED = (16, 24, 32, 56, 80), 80
"""At strides 2, 4, 8, 16 and 32, and of what the maps are read from."""
_USUAL = 4.0
"""Places along an object's side whose logarithm the network gives as 0."""
_SPARSEST, _DENSEST = 4, 24
"""Digits in and around a crop; a good third of them are to be seen in it."""
_LEAST_SEEN = 0.25
"""Of a digit; what shows less is neither asked for nor held against the network."""
_SHARPNESS = 12.0
"""Standard deviations of a centre's peak along an object's side."""
_SHAPE_WEIGHT = 2.0
_REPORT_EVERY = 100


def _block(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, inputs, 3, stride, padding=1, groups=inputs, bias=False),
        nn.BatchNorm2d(inputs),
        nn.ReLU(),
        nn.Conv2d(inputs, outputs, 1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    )


class DigitsDetector(nn.Module):
    """(N, 3, H, W) images, values 0 to 1, sides multiples of 32, to maps of H / 4 by W / 4 places.

    Args:
        narrower: Divides all widths; 2 makes the tiny one.
    """

    def __init__(self, narrower: int = 1) -> None:
        super().__init__()
        first, *widths = (width // narrower for width in _WIDTHS)
        joined = _JOINED // narrower
        self.stem = nn.Sequential(nn.Conv2d(3, first, 3, 2, padding=1, bias=False), nn.BatchNorm2d(first), nn.ReLU())
        self.stages = nn.ModuleList(
            nn.Sequential(_block(before, after, 2), _block(after, after), _block(after, after))
            for before, after in zip((first, *widths[:-1]), widths, strict=True)
        )
        self.lateral = nn.ModuleList(nn.Conv2d(width, joined, 1) for width in widths)
        self.smooth = nn.ModuleList(_block(joined, joined) for _ in widths[:-1])
        self.heat, self.shape = nn.Conv2d(joined, 1, 1), nn.Conv2d(joined, 4, 1)
        nn.init.constant_(self.heat.bias, -4.6)  # type: ignore[arg-type]  # a centre at one place in a hundred

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Logits of centres (N, 1, h, w), sizes and offsets of the centres (N, 2, h, w), both in places."""
        x = self.stem(image)
        levels = []
        for stage in self.stages:
            x = stage(x)
            levels.append(x)
        y = self.lateral[-1](levels[-1])
        for index in reversed(range(len(levels) - 1)):
            y = functional.interpolate(y, scale_factor=2.0, mode="nearest")
            y = self.smooth[index](y + self.lateral[index](levels[index]))
        shape = self.shape(y)
        return self.heat(y), torch.exp(shape[:, :2]) * _USUAL, shape[:, 2:] + 0.5


def train(narrower: int = 1, steps: int = STEPS) -> DigitsDetector:
    """The trained network, in evaluation mode; the same weights on the same machine with the same thread count."""
    torch.manual_seed(SEED)
    network = DigitsDetector(narrower)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # a third faster
    optimizer = torch.optim.AdamW(network.parameters(), lr=PEAK_RATE, weight_decay=DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, PEAK_RATE, total_steps=steps, pct_start=0.15)
    total = 0.0
    for step in range(steps):
        network.train()
        images, truths = crops("train", range(step * BATCH, (step + 1) * BATCH))
        loss = detection_loss(network, images.contiguous(memory_format=torch.channels_last), truths)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), 10.0)
        optimizer.step()
        schedule.step()
        total += loss.item()
        if step % _REPORT_EVERY == _REPORT_EVERY - 1:
            print(f"step {step + 1}: loss {total / _REPORT_EVERY:.3f}", flush=True)
            total = 0.0
    return network.eval()


def crops(split: Split, seeds: Sequence[int]) -> tuple[Tensor, list[FrameTruth]]:
    """One frame of a small scene for each seed; images (seeds, 3, 256, 256), values 0 to 1."""
    images, truths = [], []
    for seed in seeds:
        density = _SPARSEST + seed % (_DENSEST - _SPARSEST + 1)
        settings = SceneSettings(split=split, seed=seed, width=SIDE, height=SIDE, fps=15.0, frames=1, density=density)
        frame, truth = next(draw_scene(settings))
        images.append(torch.from_numpy(frame).permute(2, 0, 1))
        truths.append(truth)
    return torch.stack(images).float() / 255, truths


def detection_loss(network: DigitsDetector, images: Tensor, truths: Sequence[FrameTruth]) -> Tensor:
    """CenterNet's focal loss of the centres (its equation 1), and errors of log sizes and offsets at and beside them.

    Args:
        network: The detector.
        images: (N, 3, H, W).
        truths: One for each image.
    """
    heat, size, offset = network(images)
    heat = heat[:, 0]
    wanted, asked, at = torch.zeros_like(heat), torch.ones_like(heat), []
    for index, truth in enumerate(truths):
        for box, visible in zip(truth.boxes, truth.visible, strict=True):
            left, top, right, bottom = (float(value) / STRIDE for value in box)
            width, height, x, y = right - left, bottom - top, (left + right) / 2, (top + bottom) / 2
            column, row = min(int(x), heat.shape[2] - 1), min(int(y), heat.shape[1] - 1)
            peak = _gaussian(heat.shape[1:], column, row, width / _SHARPNESS, height / _SHARPNESS)
            if visible < _LEAST_SEEN:
                asked[index] *= (peak < 0.1).float()
                continue
            wanted[index] = torch.maximum(wanted[index], peak)
            for near_row, near_column in itertools.product(range(row - 1, row + 2), range(column - 1, column + 2)):
                if 0 <= near_row < heat.shape[1] and 0 <= near_column < heat.shape[2]:
                    at.append((index, near_row, near_column, (width, height, x - near_column, y - near_row)))
    likely = torch.sigmoid(heat).clamp(1e-4, 1 - 1e-4)
    centres = wanted == 1
    count = max(1, int(centres.sum()))
    hit = ((1 - likely) ** 2 * likely.log() * centres).sum()
    false = ((1 - wanted) ** 4 * likely**2 * (1 - likely).log() * ~centres * asked).sum()
    loss = -(hit + false) / count
    if at:
        images_of, rows, columns = torch.tensor([each[:3] for each in at]).T
        asked_for = torch.tensor([each[3] for each in at])
        sizes, offsets = (maps[images_of, :, rows, columns] for maps in (size, offset))
        loss = loss + _SHAPE_WEIGHT * functional.l1_loss(sizes.log(), asked_for[:, :2].log())
        loss = loss + functional.l1_loss(offsets, asked_for[:, 2:])
    return loss


def _gaussian(size: Sequence[int], column: int, row: int, spread_x: float, spread_y: float) -> Tensor:
    x, y = torch.arange(size[1]) - column, torch.arange(size[0]) - row
    across = torch.exp(-(x**2) / (2 * max(spread_x, 0.6) ** 2))
    return across * torch.exp(-(y**2) / (2 * max(spread_y, 0.6) ** 2))[:, None]


def save(network: DigitsDetector, name: str) -> None:
    """Write the network as ONNX for images of any size, and print the digest for the detectors' catalogue."""
    sides = {2: torch.export.Dim("rows", min=1) * 32, 3: torch.export.Dim("columns", min=1) * 32}
    path = WEIGHTS / f"{name}.onnx"
    with quiet():
        program = torch.onnx.export(
            network,
            (torch.zeros(1, 3, 96, 160),),
            dynamo=True,
            external_data=False,
            input_names=["image"],
            output_names=["heat", "size", "offset"],
            dynamic_shapes=[sides],
        )
    assert program is not None  # noqa: S101  dynamo=True always returns it
    path.write_bytes(bare(program.model_proto))
    print(f"{path}: {path.stat().st_size} bytes, SHA-256 {hashlib.sha256(path.read_bytes()).hexdigest()}")


def bare(model: ModelProto) -> bytes:
    """A model without the exporter's notes on where each node comes from."""
    parts: tuple[Any, ...] = (model, model.graph, *model.graph.node, *model.graph.value_info)
    for each in parts:
        del each.metadata_props[:]
        each.doc_string = ""
    data: bytes = model.SerializeToString(deterministic=True)
    return data


if __name__ == "__main__":
    tiny = "tiny" in sys.argv[1:]
    save(train(2 if tiny else 1), "digits-tiny" if tiny else "digits")

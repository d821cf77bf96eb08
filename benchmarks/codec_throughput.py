"""Images a second of DeepCOD's codec at ResNet-50's input and behind its stages: forwards, and a training step.

At each cut of the paper's table and for each batch size: the encoder alone (the cut's tensor to symbols), the decoder
alone, the decoder and the layers after the cut, and a step of training (encoder, decoder, the frozen network behind
them, all gradients, Adam). Codecs are of the usual ratio, in float32. Images are random pixels and already on the
device, and the network is untrained: nothing here is an accuracy. Each figure is the median of windows with as many
calls as fill a tenth of a second, each window synchronised, after a warm-up. What does not fit a GPU's memory has a
dash.

    python benchmarks/codec_throughput.py [--quick] [--device cuda] [--batches 1 32 64] [--at input maxpool]
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import chain
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
from torch import Tensor

from offload.api.codecs import LEARNING_RATE
from offload.codecs.base import HEADER_BYTES
from offload.codecs.symbols import packed_bytes
from offload.datasets.base import PixelScale
from offload.environment import chosen_threads, current_environment
from offload.models.load import load_model
from offload.models.loaded import LoadedOnnxModel
from offload.models.onnx_in_torch import DifferentiableSegment
from offload.models.segments import OnnxSegment
from offload.runtimes.torch import torch_device
from offload.training.deepcod import BITS, DeepCod
from offload.training.examples import taught_tensors
from offload.training.learned import shaping_of, usual_ratio
from offload.training.losses import backward
from offload.training.places import place_at

CUTS = ("input", "maxpool", "layer2.3.relu_2", "layer3.5.relu_2", "layer4.2.relu_2")
"""The input and the paper's block1 (the pooled stem) to block4."""
QUICK_CUT, QUICK_BATCH = "layer2.3.relu_2", 2
BATCHES = {"cuda": (1, 32, 64), "cpu": (1, 8)}
"""Unless told otherwise."""
PIXELS = PixelScale(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
REPEATS, QUICK_REPEATS = 7, 3
WINDOW_S = 0.1
COLUMNS = ("cut", "tensor", "payload", "batch", "encoder", "decoder", "decoder + tail", "training step")
Rates = tuple[float | None, float | None, float | None, float | None]
"""Images a second of the last four columns; None where it does not fit or there is no such thing."""


@dataclass(frozen=True, kw_only=True)
class Timing:
    """How calls are timed."""

    device: torch.device
    repeats: int

    def images_per_s(self, call: Callable[[], object], images: int) -> float | None:
        """The median over windows; None if memory runs out.

        Args:
            call: What is timed.
            images: How many each call takes.
        """
        try:
            for _ in range(2):  # the first chooses kernels and takes memory
                took_s = self._window_s(call, 1)
            calls = max(1, math.ceil(WINDOW_S / took_s))
            return images * calls / statistics.median(self._window_s(call, calls) for _ in range(self.repeats))
        except torch.OutOfMemoryError:
            pass
        torch.cuda.empty_cache()
        return None

    def _window_s(self, call: Callable[[], object], calls: int) -> float:
        self._synchronise()
        started = time.perf_counter()
        for _ in range(calls):
            call()
        self._synchronise()
        return time.perf_counter() - started

    def _synchronise(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


class CodecAtCut:
    """A codec and the model around it, on a device.

    Args:
        model: For a batch of 1, of images.
        at: The cut.
        timing: How calls are timed, and on which device.
    """

    def __init__(self, model: LoadedOnnxModel, at: str, timing: Timing) -> None:
        self.timing, self.place = timing, place_at(model.graph, at)
        self.taught = taught_tensors(model.graph, self.place.cut)
        tail = model.divide(self.place.cut).tail
        assert isinstance(tail, OnnxSegment)
        self.tail = DifferentiableSegment(tail, results=self.taught).to(timing.device)
        # the tensor at the cut, and the answers that are taught
        self.intact = DifferentiableSegment(model.whole, results=(self.place.tensor.name, *self.taught))
        self.intact.to(timing.device)
        self.image_shape = model.graph.tensor_by_name[model.graph.inputs[0]].shape
        ratio = usual_ratio(model, self.place)
        self.shaping = shaping_of(model, self.place, ratio=ratio, pixels=PIXELS)

    def codec(self, tensors: Tensor) -> DeepCod:
        """Untrained, with levels and scales for such tensors."""
        torch.manual_seed(0)
        codec = DeepCod(self.shaping).to(self.timing.device)
        codec.prepare(self.shaping.layout.to_channels(tensors), encoder=False)
        return codec

    def rates(self, batch: int) -> Rates:
        """Images a second of encoder, decoder, decoder with tail, and a training step."""
        layout, count = self.shaping.layout, self.timing.images_per_s
        with torch.no_grad():
            try:
                tensors, *teacher = self.intact(random_images(batch, self.image_shape, self.timing.device))
            except torch.OutOfMemoryError:
                return None, None, None, None
            deployed = self.codec(tensors).eval()
            deployed.finish()
            symbols = deployed.symbols(layout.to_channels(tensors))
            forward = (
                count(lambda: deployed.symbols(layout.to_channels(tensors)), batch),
                count(lambda: layout.from_channels(deployed.decode(symbols)), batch),
                count(lambda: self.tail(layout.from_channels(deployed.decode(symbols))), batch),
            )
        return (*forward, count(self._step(tensors, teacher), batch))

    def _step(self, tensors: Tensor, teacher: Sequence[Tensor]) -> Callable[[], object]:
        """One step of training, as `offload.training.trainer` takes it."""
        layout, codec = self.shaping.layout, self.codec(tensors).train()
        optimiser, variance = torch.optim.Adam(codec.parameters(), lr=LEARNING_RATE), float(tensors.var())

        def step() -> None:
            optimiser.zero_grad()
            made, penalty = codec(layout.to_channels(tensors))
            backward(
                layout.from_channels(made), tensors, penalty, variance=variance, tail=self.tail,
                teacher=teacher, share=0.0,
            )  # fmt: skip
            optimiser.step()

        return step


def random_images(batch: int, shape: Sequence[int], device: torch.device) -> Tensor:
    """Uniform pixels, scaled as ImageNet's are; (batch, 1, 3, height, width)."""
    generator = torch.Generator().manual_seed(0)
    mean, std = (torch.tensor(each).reshape(3, 1, 1) for each in (PIXELS.mean, PIXELS.std))
    return ((torch.rand(batch, *shape, generator=generator) - mean) / std).to(device)


def network_rows(model: LoadedOnnxModel, batches: Sequence[int], timing: Timing) -> Iterator[str]:
    """Rows of the table for the network without a codec."""
    assert isinstance(model.whole, OnnxSegment)
    network = DifferentiableSegment(model.whole).to(timing.device)
    shape = model.graph.tensor_by_name[model.graph.inputs[0]].shape
    for batch in batches:
        images = random_images(batch, shape, timing.device)
        with torch.no_grad():
            rate = timing.images_per_s(partial(network, images), batch)
        yield row("no codec: the network", shape, None, batch, (None, None, rate, None))


def codec_rows(model: LoadedOnnxModel, at: str, batches: Sequence[int], timing: Timing) -> Iterator[str]:
    """Rows of the table for a codec at one cut."""
    here = CodecAtCut(model, at, timing)
    layer, shape = here.place.layer, here.place.tensor.shape
    name = layer if layer not in CUTS[1:] else f"{layer} (block{CUTS.index(layer)})"
    payload_bytes = HEADER_BYTES + packed_bytes(math.prod(DeepCod(here.shaping).symbols_shape), BITS)
    for batch in batches:
        yield row(name, shape, payload_bytes, batch, here.rates(batch))


def row(name: str, shape: Sequence[int], payload_bytes: int | None, batch: int, rates: Rates) -> str:
    """One row of the table."""
    payload = "–" if payload_bytes is None else f"{payload_bytes:,} B"
    cells = (name, "×".join(map(str, shape)), payload, str(batch), *("–" if r is None else f"{r:,.4g}" for r in rates))
    return f"| {' | '.join(cells)} |"


def machine(device: torch.device) -> str:
    """What the figures are of."""
    told = f"torch {torch.__version__}"
    if device.type != "cuda":
        return f"{current_environment().processor}, --threads {torch.get_num_threads()}, {told}"
    tf32 = "TF32" if torch.backends.cudnn.allow_tf32 else "float32"
    return f"{torch.cuda.get_device_name(device)}, CUDA {torch.version.cuda}, {told}, convolutions in {tf32}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="resnet50")
    parser.add_argument("--at", nargs="+")
    parser.add_argument("--batches", type=int, nargs="+")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--quick", action="store_true", help="one cut, a batch of 2")
    asked = parser.parse_args(arguments)
    torch.set_num_threads(chosen_threads(asked.threads))
    device = torch_device(asked.device)
    cuts = asked.at or ((QUICK_CUT,) if asked.quick else CUTS)
    batches = asked.batches or ((QUICK_BATCH,) if asked.quick else BATCHES[device.type])
    timing = Timing(device=device, repeats=QUICK_REPEATS if asked.quick else REPEATS)
    model = load_model(asked.model)
    assert isinstance(model, LoadedOnnxModel)
    print(f"{datetime.now(UTC):%Y-%m-%d}, {machine(device)}; {model.name}, images/s\n")
    print(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}")
    for line in chain(network_rows(model, batches, timing), *(codec_rows(model, at, batches, timing) for at in cuts)):
        print(line, flush=True)


if __name__ == "__main__":
    main()

"""Deploy the options of a plan: heads and encoders loaded here, tails and decoders on the server."""

from __future__ import annotations

import hashlib
import secrets
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from offload.artifacts.plan import Option
from offload.errors import OffloadError
from offload.graph.cuts import Cut, make_cut
from offload.models.loaded import LoadedModel
from offload.models.segments import OnnxSegment, Segment
from offload.profilers.rests import PAUSE_S
from offload.runtimes.base import Runtime
from offload.serving.client import ServerClient
from offload.serving.split_session import Encoding, SplitSession
from offload.serving.timing import ClockOffset
from offload.verification.crossing import Crossing

if TYPE_CHECKING:
    from offload.codecs.base import Codec
    from offload.runtimes.base import Array

_WARM_UP_REQUESTS = 3
_DECODER_REQUESTS = 10


@dataclass(frozen=True, kw_only=True)
class Deployed:
    """An option that is ready to run."""

    option: Option
    session: SplitSession
    tail_bytes: int
    upload_s: float
    coded_outputs: Callable[[Mapping[str, Array]], dict[str, Array]] | None = None
    """What the model answers behind the option's codec, computed here; None when tensors cross as they are."""
    decoder_s: float | None = None
    """How long the server's model takes to decode, measured apart; None when it does not decode."""


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """What all options of a plan are deployed with.

    Attributes:
        model: The whole.
        runtime: What runs the heads.
        threads: Threads of the heads.
        slowdown: See `SplitSession`.
        server_load: See `SplitSession`.
        client: The connection requests take.
        uploader: The connection tails are uploaded by; the emulated link need not carry them.
        offset: The server's clock, None where it tells none.
    """

    model: LoadedModel
    runtime: Runtime
    threads: int
    slowdown: float
    server_load: float
    client: ServerClient
    uploader: ServerClient
    offset: ClockOffset | None

    @contextmanager
    def deployed(self, options: Sequence[tuple[Option, Crossing | None]]) -> Iterator[list[Deployed]]:
        """Options with their heads loaded here and their tails on the server; those are unloaded at the end.

        Args:
            options: Each with how its tensor is coded, see `crossing_of`.

        Raises:
            OffloadError: a head cannot be loaded, or the server refuses a tail.
        """
        loaded: list[str] = []
        try:
            yield [self._deploy(option, crossing, loaded) for option, crossing in options]
        finally:
            for name in loaded:
                with suppress(OffloadError):  # the server may be what failed
                    self.uploader.unload(name)

    def _deploy(self, option: Option, crossing: Crossing | None, loaded: list[str]) -> Deployed:
        graph = self.model.graph
        cut = make_cut(graph, option.device_layers)
        segments = self.model.divide(cut)
        head = None
        if segments.head is not None:
            head = (self.runtime.load(segments.head, threads=self.threads), segments.head.inputs)
        decoder_s = None
        if crossing is not None and crossing.decoder is not None:
            decoder_s = self._time_decoder(crossing.decoder, loaded)
        name, tail_bytes, upload_s = None, 0, 0.0
        if segments.tail is not None:
            started = time.perf_counter()
            name, tail_bytes = self._load(segments.tail, crossing, cut, loaded)
            upload_s = time.perf_counter() - started
            taken = {tensor: graph.tensor_by_name[tensor].shape for tensor in segments.tail.inputs}
            given = {tensor: graph.tensor_by_name[tensor].shape for tensor in segments.tail.outputs}
            _check_loaded(self.uploader, name, taken if crossing is None else {crossing.input: crossing.shape}, given)
        encoding = None
        if crossing is not None:
            encoding = Encoding(
                tensor=cut.crossing[0], codec=crossing.codec, input=crossing.input, decoder_s=decoder_s or 0.0
            )
        session = SplitSession(
            head=head,
            tail=name,
            client=self.client,
            cut=cut,
            outputs=graph.outputs,
            encoding=encoding,
            slowdown=self.slowdown,
            server_load=self.server_load,
            offset=self.offset,
            downlink_s=option.breakdown.downlink_s.value,
        )
        return Deployed(
            option=option,
            session=session,
            tail_bytes=tail_bytes,
            upload_s=upload_s,
            coded_outputs=None if crossing is None else partial(self._coded_outputs, cut, crossing.codec),
            decoder_s=decoder_s,
        )

    def _load(self, tail: Segment, crossing: Crossing | None, cut: Cut, loaded: list[str]) -> tuple[str, int]:
        """Have the server load its side; its name there, and how many bytes were uploaded."""
        given = tail if crossing is None else crossing.tail
        if isinstance(given, OnnxSegment):
            name = self._fresh_name(given.onnx, loaded)
            self.uploader.upload(name, given.onnx, coded=None if crossing is None else crossing.coded)
            return name, len(given.onnx)
        name = self._fresh_name(self.model.hash.encode(), loaded)  # the server has the model, too, and divides its own
        self.uploader.load_tail(name, model_hash=self.model.hash, device_layers=cut.device)
        return name, 0

    @staticmethod
    def _fresh_name(content: bytes, loaded: list[str]) -> str:
        """By its content, and this run's own: another run of the same plan unloads its own tail only."""
        name = f"offload-{hashlib.sha256(content).hexdigest()[:24]}-{secrets.token_hex(4)}"
        loaded.append(name)
        return name

    def _time_decoder(self, decoder: OnnxSegment, loaded: list[str]) -> float:
        """What the server takes to run a decoder alone, on zeros: its time does not depend on what it decodes."""
        import numpy as np

        name = self._fresh_name(decoder.onnx, loaded)
        self.uploader.upload(name, decoder.onnx)
        (taken,) = self.uploader.metadata(name)[0]
        feeds = {taken.name: np.zeros(taken.shape, np.uint8)}
        took_s = []
        for _ in range(_WARM_UP_REQUESTS + _DECODER_REQUESTS):
            time.sleep(PAUSE_S)
            before = None if self.offset is not None else self.uploader.statistics(name)
            server = self.uploader.infer(name, feeds).server
            if server is not None and before is None:
                took_s.append(server.compute_infer_ns / 1e9)
            elif before is not None:
                took_s.append(self.uploader.statistics(name).compute_infer_s - before.compute_infer_s)
        self.uploader.unload(name)
        return statistics.median(took_s[_WARM_UP_REQUESTS:])

    def _coded_outputs(self, cut: Cut, codec: Codec, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """The model's outputs when its two sides and the codec between them all run here."""
        segments = self.model.divide(cut)
        known = dict(feeds)
        if segments.head is not None:
            known |= self._run(segments.head, known)
        (tensor,) = cut.crossing
        if segments.tail is not None:
            known |= self._run(segments.tail, {tensor: codec.decode(codec.encode(known[tensor]))})
        return {name: known[name] for name in self.model.graph.outputs}

    def _run(self, segment: Segment, known: Mapping[str, Array]) -> dict[str, Array]:
        session = self.runtime.load(segment, threads=self.threads)
        return session.run({name: known[name] for name in segment.inputs})


def _check_loaded(
    client: ServerClient, name: str, inputs: Mapping[str, Sequence[int]], outputs: Mapping[str, Sequence[int]]
) -> None:
    """Some servers answer an upload with OK and ignore it: ask for the model and its signature."""
    if not client.ready(name):
        raise OffloadError(
            f"the server accepted the upload of {name} but does not have it ready",
            hint="it may ignore uploads: start it in explicit model-control mode, or use `offload serve`",
        )
    for expected, told in zip((inputs, outputs), client.metadata(name), strict=True):
        found = {spec.name: tuple(spec.shape) for spec in told}
        if expected != found:
            raise OffloadError(
                f"the server's {name} has {found}, the plan's tail has {expected}",
                hint="it serves another model under that name: unload it there",
            )

"""What a detector takes for crops on a server, by the server's own stamps."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

from offload.errors import OffloadError
from offload.profilers.rests import PAUSE_S
from offload.profilers.video.latency import crop_records, crop_sizes
from offload.verification.video.served_detector import ServedDetector
from offload.video.methods.base import Ask

if TYPE_CHECKING:
    from offload.artifacts.video_profile import CropRecord
    from offload.detectors.base import Detector
    from offload.progress import Progress
    from offload.serving.client import ServerClient
    from offload.video.clips import Frame


def measure_crops_on(
    client: ServerClient, detector: Detector, frame: Frame, *, quality: int, rounds: int, progress: Progress
) -> tuple[CropRecord, ...]:
    """Have a server decode crops of a frame and run a detector on them, in rounds over all sizes, each after a rest.

    The same sizes as `measure_crops` takes on this machine, sent over the connection; the network does not count.

    Raises:
        OffloadError: the server cannot be reached, refuses the detector, or does not tell its times.
        KeyboardInterrupt: interrupted in the first round; a later interrupt ends the rounds.
    """
    height, width = frame.shape[:2]
    served = ServedDetector(detector, quality=quality, width=width, height=height)
    sizes = crop_sizes(width, height, detector.multiple)
    asks = [Ask(server=0, region=np.array([[0.0, 0.0, wide, high]])) for wide, high in sizes]
    feeds = [served.feeds(served.encoded(frame, ask)) for ask in asks]
    client.check()
    served.ensure(client)
    samples: list[list[tuple[float, float]]] = [[] for _ in sizes]
    answer_bytes = [0] * len(sizes)
    progress.start(f"timing the detector on {client.address}", rounds)
    for number in range(rounds):
        try:
            for index, feed in enumerate(feeds):
                client.infer(served.name, feed)  # brings back what was there before other sizes ran
                time.sleep(PAUSE_S)
                answer = client.infer(served.name, feed)
                if answer.server is None:
                    raise OffloadError(
                        f"the server at {client.address} does not tell its times",
                        hint="start one there with `offload serve`",
                    )
                samples[index].append((answer.server.decode_ns / 1e9, answer.server.compute_infer_ns / 1e9))
                answer_bytes[index] = sum(array.nbytes for array in answer.outputs.values())
        except KeyboardInterrupt:
            if number == 0:
                raise
            break
        progress.advance()
    progress.finish()
    return crop_records(sizes, samples, answer_bytes)

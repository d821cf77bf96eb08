"""From a bench of codecs to what a planner may choose from."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from difflib import get_close_matches

from offload.artifacts.codec_bench import CodecBench, deployed, family_of, payload_estimate
from offload.artifacts.estimate import median_estimate
from offload.artifacts.plan import Coding
from offload.artifacts.profile import Profile
from offload.errors import OffloadError, UsageError

_FLOAT32_BYTES = 4


def codings_of(
    bench: CodecBench, device: Profile, server: Profile, *, codecs: Collection[str] | None = None
) -> Mapping[str, tuple[Coding, ...]]:
    """The codecs of a bench at each tensor.

    Encoders take on the device what they took in the bench; decoders take that on the server times
    `decoding_factor`. Fine-tuned tails and ablations are left out: no plan executes them.

    Args:
        bench: What was measured.
        device: The device's profile.
        server: The server's profile.
        codecs: Names, such as `jpeg` or `deepcod`, or whole texts; None takes all.

    Raises:
        OffloadError: the bench is of another model.
        UsageError: there are no names, or one is none of the bench's codecs.
    """
    if bench.model.hash != device.model.hash:
        raise OffloadError(
            f"the codecs' bench is of {bench.model.name} ({bench.model.hash[:12]}), the profile of "
            f"{device.model.name} ({device.model.hash[:12]})",
            hint="bench the codecs of the model that was profiled: `offload codec bench MODEL --data DATA`",
        )
    rows = [row for row in bench.rows if row.tail == "as it is" and not row.ablation and row.codec != "raw"]
    known = {name for row in rows for name in (family_of(row.codec), row.codec)}
    if codecs is not None and not codecs:
        raise UsageError("--codecs names no codec", hint="name some, as deepcod,webp, or leave it out for all")
    for name in codecs or ():
        if name not in known:
            near = get_close_matches(name, known, n=2) or sorted({family_of(row.codec) for row in rows})
            raise UsageError(f"--codecs {name}: the bench has no such codec", hint="it has " + ", ".join(near))
    factor = decoding_factor(bench, device, server)
    found: dict[str, tuple[Coding, ...]] = {}
    for row in rows:
        if codecs is None or family_of(row.codec) in codecs or row.codec in codecs:
            one = deployed(row)
            coding = Coding(
                codec=row.codec,
                method=row.method,
                payload_bytes=payload_estimate(one),
                encode_s=median_estimate(row.encode_s),
                decode_s=median_estimate(row.decode_s).scaled(factor),
                accuracy=bench.accuracy(one),
                accuracy_change=bench.accuracy_change(one),
                decoder_bytes=_FLOAT32_BYTES * row.decoder.parameters if row.decoder else 0,
            )
            found[row.tensor.name] = (*found.get(row.tensor.name, ()), coding)
    return found


def decoding_factor(bench: CodecBench, device: Profile, server: Profile) -> float:
    """How many times longer a decoder takes on the server than in the bench, which ran on the device.

    1 on a server of the bench's kind; else as the two take for the whole model, which is an assumption.
    """
    return 1.0 if timed_on(bench, server) else server.whole.value / device.whole.value


def timed_on(bench: CodecBench, profile: Profile) -> bool:
    """Whether a bench timed codecs on what a profile is of: the same processor, GPUs, runtime and threads."""
    return profile.source == "measured" and (
        profile.environment.processor,
        profile.environment.gpus,
        profile.runtime,
    ) == (bench.environment.processor, bench.environment.gpus, bench.runtime)

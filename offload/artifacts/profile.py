"""A profile: what each part of a model costs on one machine, as raw samples."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import NormalDist
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from offload.artifacts.base import MOST, Amount, Artifact, Count, Positive, Seconds
from offload.artifacts.breakdown import EnergySource
from offload.artifacts.dividing import DividedRuns, DividingCosts, dividing_costs
from offload.artifacts.energy import ProfileEnergy
from offload.artifacts.energy_shares import GroupShares
from offload.artifacts.estimate import CONFIDENCE, Estimate, median_estimate
from offload.artifacts.link import ProtocolSample
from offload.artifacts.prediction import FittedCosts, Prediction
from offload.environment import MOST_THREADS
from offload.graph.model_graph import DTYPE_BYTES, LayerKind, ModelGraph

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_FEWEST_CLEAN = 3
_MOST_PER_KERNEL_S = 5e-6
"""Networks of many small kernels, where little else makes a gap, showed 2 to 4.4 µs a kernel."""
_FROM_90_PERCENT = NormalDist().inv_cdf((1 + CONFIDENCE) / 2) / NormalDist().inv_cdf((1 + 0.9) / 2)
"""How much wider than a prediction's 90 % interval that of CONFIDENCE is, if errors are normal: 1.96 / 1.645."""
Precision = Literal["fp32", "fp16", "bf16"]
ProfileSource = Literal["measured", "assumed", "predicted", "imported"]
"""`measured` by this tool; `assumed`, a roofline over published rates; `predicted` by fitted costs; `imported`, what
another tool measured."""


@dataclass(frozen=True, kw_only=True)
class ModelIdentity:
    """Which model an artifact is about."""

    spec: str
    """What the user typed: a built-in name, a path, or `package.module:callable`."""
    name: str
    hash: str
    """SHA-256 of the canonical model: operators, attributes, weights, shapes."""
    batch: Count
    precision: Precision
    """The type of its floating-point weights and tensors."""
    weights: str
    """Where the weights came from, in words."""
    untrained: bool
    """Whether the weights are an untrained initialisation: latencies hold, predictions of the model mean nothing."""
    inputs: dict[str, tuple[int, ...]]
    """The input shapes the user asked for; empty when the model's own were taken."""
    weights_file: str | None
    """The `--weights` file, None when there was none."""


@dataclass(frozen=True, kw_only=True)
class RuntimeIdentity:
    """What ran the model."""

    name: str
    version: str
    device: str
    """`cpu`, `cuda:0`, or a preset's name."""
    threads: Annotated[Count, Field(le=MOST_THREADS)]
    channels_last: bool = False
    """Whether images are kept with their channels innermost."""
    compiled: bool = False
    """Whether the model was compiled as a whole (torch.compile)."""


@dataclass(frozen=True, kw_only=True)
class KernelGroup:
    """Layers that the runtime executes as a unit, and the raw time of each round."""

    layers: tuple[int, ...]
    """Indices into the graph's layers; each layer is in exactly one group."""
    kernels: Amount
    """Kernels the runtime executed for them; 0 when they were optimised away."""
    samples_s: tuple[Seconds, ...]
    """Time of the group in each round as the runtime's profiler tells it, before closure."""
    prediction: Prediction | None = None
    """Of a predicted profile only."""


def clean_rounds(rounds: int, dirty: Collection[int]) -> tuple[int, ...]:
    """All rounds but the dirty ones; all of them where so few are left that they would not show how they stray."""
    clean = tuple(index for index in range(rounds) if index not in dirty)
    return clean if len(clean) >= min(_FEWEST_CLEAN, rounds) else tuple(range(rounds))


def _check_graph(graph: ModelGraph) -> None:
    """Refuse a graph that no model has.

    Raises:
        ValueError: it names a tensor that it does not have, or holds a type or a figure that cannot be.
    """
    named = {name for layer in graph.layers for name in (*layer.inputs, *layer.outputs)}
    if not graph.tensor_by_name.keys() >= named.union(graph.inputs, graph.outputs):
        raise ValueError("its graph names a tensor that it does not have")
    if any(tensor.dtype not in DTYPE_BYTES for tensor in graph.tensors):
        raise ValueError("a tensor of its graph is of no known type")
    figures = [figure for tensor in graph.tensors for figure in (*tensor.shape, tensor.size_bytes)]
    figures += [figure for layer in graph.layers for figure in (layer.flops, layer.weight_bytes)]
    if any(not 0 <= figure <= MOST for figure in figures):
        raise ValueError("its graph has a size or a number of operations that cannot be true")


class Profile(Artifact):
    """Costs of a model's layers on one machine.

    Attributes:
        model: Which model.
        graph: Its layers and tensors.
        source: How the times were found.
        runtime: What ran it.
        server_preset: The preset an assumed profile was made from.
        whole_s: The unprofiled whole model, one sample a round: the truth the layers are closed against.
        profiled_s: The whole model with the profiler on, one sample a round.
        groups: The layers as they were executed.
        reference_s: A fixed kernel timed in each round; shows what the machine did meanwhile.
        empty_call_s: A call that computes next to nothing, timed after a rest in each round.
        waited_s: How long the model's threads waited for a core in each round, where the system tells.
        takes: Which load of the model each round's whole was timed on; empty when the model was loaded once.
        dirty_rounds: Rounds in which something else used the machine; left out of summaries.
        stopped: Why measuring ended.
        precision_reached: Half width of the 95 % interval of the whole's median, as a fraction.
        power_w: Declared power while computing, in watts; energy derived from it is tagged `modelled`.
        idle_power_w: Power while nothing runs, in watts: declared, or else the meter's reading.
        energy: What a meter read; None when there was none, or it was lost.
        energy_lost: Why a meter that was there gave no energy.
        shared_error: Of a predicted profile: half width of the 90 % interval of a whole model's time, as a fraction,
            by which all of its groups may stray together.
        fitted_costs: Of a predicted profile: what it was predicted from.
        imported_from: What an imported profile was read from: the tool's name and the file's. Its times are those
            that the trace tells of the layers; they are not closed against the whole, which the other tool timed with
            its own profiler on, unless one without it was declared. Its environment is that of the machine that
            imported it.
        unmatched_share: Of an imported profile: the share of its time in kernels that name no layer of the model. It
            is counted with the kernel that ran before them.
        whole_declared: Of an imported profile: whether `whole_s` is the time that the user knows of the model without a
            profiler; layers are then closed against it, and `profiled_s` is what the trace tells.
        warm_up_runs: Of an imported profile: runs at the start of its trace that were left out.
        measured_on: Address of the server that it was made on; None when it was made on the machine that asked.
        protocol: Requests over loopback that compute nothing: the serving protocol's own cost; empty when not measured.
        divided: The model run in two parts, for a few cuts; empty when there was no time for it, or nothing to divide.
    """

    KIND: ClassVar[str] = "profile"

    model: ModelIdentity
    graph: ModelGraph
    source: ProfileSource
    runtime: RuntimeIdentity
    server_preset: str | None = None
    whole_s: tuple[Positive, ...]
    profiled_s: tuple[Positive, ...]
    groups: tuple[KernelGroup, ...]
    reference_s: tuple[Positive, ...]
    empty_call_s: tuple[Positive, ...] = ()
    waited_s: tuple[Seconds, ...] = ()
    takes: tuple[int, ...] = ()
    dirty_rounds: tuple[int, ...] = ()
    stopped: Literal["precision", "time cap", "interrupted", "not measured"]
    precision_reached: float | None = None
    power_w: Positive | None = None
    idle_power_w: Positive | None = None
    energy: ProfileEnergy | None = None
    energy_lost: str | None = None
    protocol: tuple[ProtocolSample, ...] = ()
    divided: tuple[DividedRuns, ...] = ()
    measured_on: str | None = None
    shared_error: Annotated[float, Field(ge=0, le=10)] = 0.0
    fitted_costs: FittedCosts | None = None
    imported_from: str | None = None
    unmatched_share: Annotated[float, Field(ge=0, le=1)] = 0.0
    whole_declared: bool = False
    warm_up_runs: Amount = 0

    @model_validator(mode="after")
    def _consistent(self) -> Profile:
        rounds = len(self.whole_s)
        if not rounds:
            raise ValueError("it holds no samples")
        if self.whole_declared and self.source != "imported":
            raise ValueError("only an imported profile has a declared whole")
        if self.takes and len(self.takes) != rounds:
            raise ValueError("it has another number of takes than of rounds")
        if any(not 0 <= i < rounds for i in self.dirty_rounds):
            raise ValueError("a dirty round is none of its rounds")
        if any(len(group.samples_s) != rounds for group in self.groups):
            raise ValueError("a group has another number of samples than the whole")
        _check_graph(self.graph)
        covered = sorted(index for group in self.groups for index in group.layers)
        if covered != list(range(len(self.graph.layers))):
            raise ValueError("the groups do not cover each layer exactly once")
        if self.energy is not None and any(not 0 <= one.group < len(self.groups) for one in self.energy.groups):
            raise ValueError("it holds the energy of a group that it does not have")
        for run in self.divided:
            self._check_divided(run)
        return self

    def _check_divided(self, run: DividedRuns) -> None:
        layers = set(run.device_layers)
        inside = [layers.issuperset(group.layers) for group in self.groups]
        covered = {index for group, here in zip(self.groups, inside, strict=True) if here for index in group.layers}
        if covered != layers or all(inside) or not any(inside):
            raise ValueError("it holds runs of a part that it cannot be divided into")
        if not 0 < len(run.whole_s) == len(run.head_s) == len(run.tail_s):
            raise ValueError("its runs in two parts have another number of samples than those of the whole")

    @cached_property
    def clean_rounds(self) -> tuple[int, ...]:
        """Rounds that summaries are computed from (see `clean_rounds`)."""
        return clean_rounds(len(self.whole_s), self.dirty_rounds)

    @cached_property
    def whole(self) -> Estimate:
        """The unprofiled whole model, in seconds."""
        if self.source == "predicted":
            return self._predicted_time(range(len(self.groups)), self.whole_s[0])
        return median_estimate([self.whole_s[i] for i in self.clean_rounds])

    @cached_property
    def repeatability(self) -> float:
        """Half width, as a fraction, of the 95 % interval in which the whole's median falls when it is loaded again.

        From the medians of the takes (Student's t, for one more observation); without at least three of them, that
        of the whole's own interval, which knows of no other load.
        """
        import numpy as np
        from scipy.special import stdtrit

        by_take: dict[int, list[float]] = {}
        for i in self.clean_rounds if self.takes else ():
            by_take.setdefault(self.takes[i], []).append(self.whole_s[i])
        count = len(by_take)
        if count < 3:
            return self.whole.relative_half_width
        medians = [float(np.median(samples)) for samples in by_take.values()]
        quantile = float(stdtrit(count - 1, (1 + CONFIDENCE) / 2))
        spread = float(np.std(medians, ddof=1)) * float((1 + 1 / count) ** 0.5)
        return quantile * spread / self.whole.value

    @cached_property
    def raw_sum_s(self) -> float:
        """Sum of the groups' raw medians, in seconds."""
        import numpy as np

        return float(np.sum(np.median(self._raw, axis=0)))

    @cached_property
    def raw_gap(self) -> float:
        """How far the raw layer sum is from the unprofiled whole, as a fraction of the whole."""
        return self.raw_sum_s / self.whole.value - 1

    @cached_property
    def profiler_inflation(self) -> float:
        """How much slower the model ran with the profiler on, as a fraction of the unprofiled whole."""
        return median_estimate([self.profiled_s[i] for i in self.clean_rounds]).value / self.whole.value - 1

    @cached_property
    def _raw(self) -> NDArray[np.float64]:
        import numpy as np

        return np.array([[group.samples_s[i] for group in self.groups] for i in self.clean_rounds], dtype=np.float64)

    @cached_property
    def group_samples_s(self) -> NDArray[np.float64]:
        """Closed times, float64 seconds, shape (clean rounds, groups).

        What the profiler adds, and what it does not see (dispatch), is a cost of each kernel rather than of each
        FLOP, so the gap between the raw sum and the unprofiled whole is spread evenly over kernels, as far as that
        can explain it: at most 5 µs a kernel, and no group loses more than half of its raw time. What is then left
        is scaled away. The medians of the result sum to the median of the whole.
        """
        import numpy as np

        raw = self._raw
        if self.source != "measured" and not self.whole_declared:
            return raw
        medians = np.median(raw, axis=0)
        kernels = np.array([group.kernels for group in self.groups], dtype=np.float64)
        per_kernel = (self.whole.value - medians.sum()) / max(kernels.sum(), 1.0)
        per_kernel = np.clip(per_kernel, -_MOST_PER_KERNEL_S, _MOST_PER_KERNEL_S)
        closed = np.maximum(medians + per_kernel * kernels, medians / 2)
        closed *= self.whole.value / closed.sum()
        factor = np.divide(closed, medians, out=np.zeros_like(closed), where=medians > 0)
        offset = np.where(medians > 0, 0.0, closed)
        return np.asarray(raw * factor + offset, dtype=np.float64)

    @cached_property
    def group_of_layer(self) -> tuple[int, ...]:
        """Index of the group of each layer."""
        found = [0] * len(self.graph.layers)
        for number, group in enumerate(self.groups):
            for index in group.layers:
                found[index] = number
        return tuple(found)

    @cached_property
    def group_kinds(self) -> tuple[LayerKind, ...]:
        """Kind of each group: that of its layer with the most operations."""
        layers = self.graph.layers
        return tuple(
            max((layers[i] for i in group.layers), key=lambda layer: layer.flops).kind for group in self.groups
        )

    @cached_property
    def group_medians_s(self) -> NDArray[np.float64]:
        """Median of each group's closed times, float64 seconds, shape (groups,)."""
        import numpy as np

        return np.asarray(np.median(self.group_samples_s, axis=0), dtype=np.float64)

    def time_of(self, groups: Sequence[int]) -> Estimate:
        """Seconds that kernel groups take in one run, from the rounds.

        The value is the sum of their closed medians; the interval is the bootstrap of the per-round sums around it,
        widened by how far the whole's median moves when the model is loaded again.
        """
        if not groups:
            return Estimate.exactly(0.0)
        chosen = sorted(set(groups))
        value = float(self.group_medians_s[chosen].sum())
        if self.source == "predicted":
            return self._predicted_time(chosen, value)
        spread = median_estimate(self.group_samples_s[:, chosen].sum(axis=1))
        relative = self.repeatability if self.source == "measured" else 0.0
        below = ((spread.value - spread.low) ** 2 + (relative * value) ** 2) ** 0.5
        above = ((spread.high - spread.value) ** 2 + (relative * value) ** 2) ** 0.5
        return Estimate(value=value, low=max(0.0, value - below), high=value + above)

    def _predicted_time(self, groups: Sequence[int], value: float) -> Estimate:
        """The groups' own errors are independent of one another, and all stray together by the shared error.

        Predictions hold in 90 % of cases. So that they add to what is measured, their half widths are brought to
        CONFIDENCE in the ratio of the normal distribution's quantiles.
        """
        below = above = (self.shared_error * value) ** 2
        for group in groups:
            prediction, middle = self.groups[group].prediction, float(self.group_medians_s[group])
            if prediction is not None:
                below += (middle - prediction.low_s) ** 2
                above += (prediction.high_s - middle) ** 2
        below_s, above_s = _FROM_90_PERCENT * below**0.5, _FROM_90_PERCENT * above**0.5
        return Estimate(value=value, low=max(0.0, value - below_s), high=value + above_s)

    @property
    def beyond_share(self) -> float:
        """Of a predicted profile: the share of its time in groups that lie outside what was sampled."""
        return self._share_where(lambda prediction: bool(prediction.beyond))

    @property
    def unknown_share(self) -> float:
        """Of a predicted profile: the share of its time in groups with kernels of a kind without samples."""
        return self._share_where(lambda prediction: prediction.form == "unknown")

    def _share_where(self, holds: Callable[[Prediction], bool]) -> float:
        chosen = [n for n, group in enumerate(self.groups) if group.prediction is not None and holds(group.prediction)]
        total_s = float(self.group_medians_s.sum())
        return float(self.group_medians_s[chosen].sum()) / total_s if chosen and total_s else 0.0

    @cached_property
    def dividing(self) -> DividingCosts:
        """What a part of the model takes beyond its layers."""
        medians_s = self.group_medians_s
        shares = [
            sum(
                float(seconds)
                for group, seconds in zip(self.groups, medians_s, strict=True)
                if set(run.device_layers).issuperset(group.layers)
            )
            / self.whole.value
            for run in self.divided
        ]
        return dividing_costs(self.divided, shares, self.whole.value)

    @property
    def energy_source(self) -> EnergySource:
        """Where `energy_of` comes from: a meter, the declared power or that of the kernels' kinds, or nowhere."""
        if self.energy is not None:
            return self.energy.source
        return "none" if self.power_w is None and self.group_powers_w is None else "modelled"

    @cached_property
    def group_powers_w(self) -> tuple[float, ...] | None:
        """Predicted gross power of each group, in watts; None unless all are known."""
        found = [None if group.prediction is None else group.prediction.power_w for group in self.groups]
        known = tuple(watts for watts in found if watts is not None)
        return known if known and len(known) == len(found) else None

    def energy_of(self, groups: Sequence[int]) -> Estimate | None:
        """Gross joules that kernel groups take in one run; exactly 0 J for none.

        None when there is neither a reading nor a power, which is not 0 J.
        """
        if self.energy_source == "none":
            return None
        if not groups:
            return Estimate.exactly(0.0)
        time_s = self.time_of(groups)
        if self.energy_shares is not None:
            return self.energy_shares.joules_of(groups, time_s)
        power_w = self._power_of(groups)
        return None if power_w is None else time_s.scaled(power_w)

    def _power_of(self, groups: Sequence[int]) -> float | None:
        """Modelled power, in watts: what is declared, or else that of the groups by the time they take."""
        if self.power_w is not None or self.group_powers_w is None:
            return self.power_w
        chosen = sorted(set(groups))
        times_s = [float(self.group_medians_s[group]) for group in chosen]
        powers_w = [self.group_powers_w[group] for group in chosen]
        total_s = sum(times_s)
        if not total_s:
            return sum(powers_w) / len(powers_w)
        return sum(watts * seconds for watts, seconds in zip(powers_w, times_s, strict=True)) / total_s

    @cached_property
    def group_energies_j(self) -> tuple[float, ...] | None:
        """Gross joules of each group in one run; None when `energy_of` knows none."""
        found = [self.energy_of([group]) for group in range(len(self.groups))]
        known = tuple(energy.value for energy in found if energy is not None)
        return known if len(known) == len(found) else None

    @cached_property
    def energy_shares(self) -> GroupShares | None:
        """How the measured energy divides over the groups; None when none was measured."""
        return None if self.energy is None else GroupShares(self.energy, self.group_kinds, self.group_medians_s)

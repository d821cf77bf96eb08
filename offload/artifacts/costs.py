"""Fitted costs: what kernels take on one device, as regressions over what a kernel is."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from offload.artifacts.base import Artifact, Positive, Seconds
from offload.artifacts.link import ProtocolSample
from offload.artifacts.packed import unpack
from offload.artifacts.profile import Precision, RuntimeIdentity

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Finite = Annotated[float, Field(ge=-1e30, le=1e30, allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, le=1)]
FormName = Literal["linear", "logarithmic", "trend", "ensemble"]
"""`linear` and `logarithmic` are Neurosurgeon's; `trend` is a roofline's sum; `ensemble` corrects it by trees."""
Number = Annotated[int, Field(ge=1, le=1_000_000_000)]
"""How many of what can be counted while it is measured."""
MOST_FEATURES = 256
_MOST_TREES, _MOST_DEPTH, _MOST_NODES = 5000, 64, 1_000_000
"""Of a family, far beyond what is fitted: more would take all memory or hours to follow."""
_MOST_NODES_IN_ALL = 5_000_000


@dataclass(frozen=True, kw_only=True)
class PaperForm:
    """One of Neurosurgeon's regressions: of seconds on its variables, or of logarithms on logarithms."""

    variables: tuple[str, ...]
    constant: Finite
    slopes: tuple[Finite, ...]
    logarithmic: bool

    def __post_init__(self) -> None:
        """Refuse slopes of no variable."""
        if len(self.variables) != len(self.slopes):
            raise ValueError("a regression has another number of slopes than of variables")


@dataclass(frozen=True, kw_only=True)
class Trees:
    """An ensemble of regression trees whose values add up; the logarithm of a correction.

    Each field holds an entry for every node, of one tree after the other, packed (see `packed`).
    """

    base: Finite
    """What every sum starts from."""
    starts: str
    """Where each tree's root is, int32."""
    feature: str
    """Which feature a node looks at, int32; -1 for a leaf."""
    threshold: str
    """A node whose feature is at most this goes left, float32."""
    left: str
    """Where the left child is, int32; it is behind its parent."""
    right: str
    value: str
    """What a leaf adds, float32."""

    @cached_property
    def arrays(self) -> TreeArrays:
        """The nodes, unpacked and checked: following them ends, and reads nothing outside.

        Raises:
            ValueError: they are not trees.
        """
        import numpy as np

        starts = unpack(self.starts, "<i4", most=_MOST_TREES)
        feature = unpack(self.feature, "<i4", most=_MOST_NODES)
        threshold = unpack(self.threshold, "<f4", most=_MOST_NODES)
        value = unpack(self.value, "<f4", most=_MOST_NODES)
        left, right = (unpack(one, "<i4", most=_MOST_NODES) for one in (self.left, self.right))
        size = len(feature)
        if not size or any(len(one) != size for one in (threshold, left, right, value)) or not len(starts):
            raise ValueError("its trees have nodes without all of their fields")
        inner = np.flatnonzero(feature >= 0)
        ahead = all(((one[inner] > inner) & (one[inner] < size)).all() for one in (left, right))
        within = bool(
            ((starts >= 0) & (starts < size)).all() and (feature >= -1).all() and (feature < MOST_FEATURES).all()
        )
        if not (ahead and within):
            raise ValueError("its trees have nodes that lead nowhere")
        level: NDArray[Any] = starts
        for _ in range(_MOST_DEPTH):
            level = level[feature[level] >= 0]
            reached = np.zeros(size, dtype=bool)
            reached[left[level]] = reached[right[level]] = True
            level = np.flatnonzero(reached)
        if len(level):
            raise ValueError(f"its trees are deeper than {_MOST_DEPTH} nodes")
        return TreeArrays(starts=starts, feature=feature, threshold=threshold, left=left, right=right, value=value)


@dataclass(frozen=True, kw_only=True)
class TreeArrays:
    """The fields of `Trees`, unpacked."""

    starts: NDArray[np.int32]
    feature: NDArray[np.int32]
    threshold: NDArray[np.float32]
    left: NDArray[np.int32]
    right: NDArray[np.int32]
    value: NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class FormError:
    """How far off a form is on networks that it was not fitted on."""

    form: FormName
    log_error: Seconds
    """Mean of |ln(predicted / measured)| over kernels, those of a few microseconds counted less."""
    median_error: Seconds
    """Median of |predicted / measured - 1|, of the kernels that take 50 µs or more; of all where none does."""
    within_tenth: Fraction
    """Share of the same within 10 %."""


@dataclass(frozen=True, kw_only=True)
class Band:
    """Half width of the 90 % interval, for predicted times up to a limit."""

    up_to_s: Positive
    log_half_width: Annotated[float, Field(ge=0, le=50)]
    """The interval is from the time divided by exp of this to the time multiplied by it."""


@dataclass(frozen=True, kw_only=True)
class LearningPoint:
    """The error when fewer networks had been measured."""

    networks: Number
    median_error: Seconds


@dataclass(frozen=True, kw_only=True)
class Range:
    """What of a feature was sampled; sizes are given as logarithms to base 2 of one more."""

    feature: str
    low: Finite
    high: Finite


@dataclass(frozen=True, kw_only=True)
class FamilyCosts:
    """What the kernels of one family take."""

    family: str
    """A layer kind, with what divides it behind: `conv depthwise`."""
    samples: Number
    """Kernels."""
    networks: Number
    """Networks they come from."""
    form: FormName
    """That of the least error among networks left out."""
    errors: tuple[FormError, ...]
    """Of every form that could be fitted, the paper's always among them."""
    coverage: Fraction
    """Share of kernels that lie in their 90 % interval, made without their network."""
    bands: tuple[Band, ...]
    ranges: tuple[Range, ...]
    trend: tuple[Seconds, ...]
    """Seconds for each roofline term: an operation, a moved byte, a byte of weights, a launch."""
    paper: tuple[PaperForm, ...]
    trees: Trees | None
    learning: tuple[LearningPoint, ...]
    power_w: Positive | None = None
    """Gross power while kernels of this family run, as a meter read it."""

    def __post_init__(self) -> None:
        """Refuse what cannot predict."""
        if not self.bands or list(self.bands) != sorted(self.bands, key=lambda band: band.up_to_s):
            raise ValueError(f"the bands of {self.family} are not in order")
        if self.form == "ensemble" and self.trees is None:
            raise ValueError(f"the trees of {self.family} are missing")


@dataclass(frozen=True, kw_only=True)
class CallCosts:
    """What a model takes beyond its kernels.

    whole = sum of kernels + per kernel · kernels + per call + empty calls · what an empty call takes.
    """

    per_kernel_s: Finite
    """Less than nothing where the profiler makes kernels appear longer than they are."""
    per_call_s: Finite
    empty_calls: Finite
    """How much a model takes longer when a call does that computes next to nothing."""


class Costs(Artifact):
    """What kernels take on one device under one runtime, fitted on random networks.

    Attributes:
        runtime: What ran them.
        precision: Of weights and tensors.
        networks: How many were measured.
        measuring_s: How long that took.
        stopped: Why measuring ended.
        reference_s: The reference kernel in each network's rounds: what the machine did meanwhile.
        empty_call_s: A call that computes next to nothing in each network's rounds.
        families: Costs by family.
        call: What a model takes beyond its kernels.
        shared_error: Half width of the 90 % interval of a model's time, as a fraction, beside its kernels' own errors.
        whole_errors: Signed relative error of each network's whole time, predicted without it.
        library: What fitted the trees, by name and version; reading them needs none.
        features: Names of the trees' features, in order.
        samples: Of every measured kernel: network, family, measured seconds, predicted without its network, low and
            high end of its interval; packed rows of six.
        power_source: Where the families' power comes from: a meter's name.
        power_w: Declared power while computing; energy from it is tagged `modelled`.
        idle_power_w: Declared, or metered, power while nothing runs.
        protocol: The serving protocol's own cost on this device, as profiles hold it.
    """

    KIND: ClassVar[str] = "costs"

    runtime: RuntimeIdentity
    precision: Precision
    networks: Number
    measuring_s: Seconds
    stopped: Literal["budget", "all networks", "interrupted"]
    reference_s: Annotated[tuple[Positive, ...], Field(min_length=1)]
    empty_call_s: Annotated[tuple[Positive, ...], Field(min_length=1)]
    families: tuple[FamilyCosts, ...]
    call: CallCosts
    shared_error: Annotated[float, Field(ge=0, le=10)]
    whole_errors: tuple[Finite, ...]
    library: dict[str, str]
    features: tuple[str, ...]
    samples: str
    power_source: str | None = None
    power_w: Positive | None = None
    idle_power_w: Positive | None = None
    protocol: tuple[ProtocolSample, ...] = ()

    @model_validator(mode="after")
    def _consistent(self) -> Costs:
        names = [one.family for one in self.families]
        if len(set(names)) != len(names) or not names:
            raise ValueError("it has no family of kernels, or one twice")
        if len(self.features) > MOST_FEATURES:
            raise ValueError("it has more features than any version knows")
        nodes = 0
        for one in self.families:
            if {"linear", "logarithmic", one.form} - {error.form for error in one.errors}:
                raise ValueError(f"the errors of {one.family} are missing")
            nodes += 0 if one.trees is None else len(one.trees.arrays.feature)
            if nodes > _MOST_NODES_IN_ALL:
                raise ValueError("its trees are larger than any that are fitted")
            if one.trees is not None and int(one.trees.arrays.feature.max()) >= len(self.features):
                raise ValueError(f"the trees of {one.family} look at a feature that it does not have")
        if len(unpack(self.samples, "<f4", columns=6)) > 5_000_000:
            raise ValueError("it has more samples than can be measured")
        return self

    @cached_property
    def by_family(self) -> dict[str, FamilyCosts]:
        """Costs by the name of the family."""
        return {one.family: one for one in self.families}

    @cached_property
    def sample_rows(self) -> NDArray[np.float32]:
        """float32 (kernels, 6): see `samples`."""
        return unpack(self.samples, "<f4", columns=6)

"""The parts that the exact planner is made of, by hand and against brute force."""

from __future__ import annotations

import dataclasses
import itertools
import random

import numpy as np
import pytest

from offload.artifacts.link import Link
from offload.errors import VerdictError
from offload.graph.model_graph import Layer, ModelGraph, Tensor
from offload.planners.base import Constraints, Problem
from offload.planners.constraints import Limit, infeasible, within
from offload.planners.costs import LinearCosts, linear_costs
from offload.planners.flow import FlowNetwork
from offload.planners.ideals import ideals, legal_cuts, table_of
from offload.planners.legality import legality
from offload.planners.mincut import MinCut
from offload.planners.network import CutNetwork
from offload.planners.objective import objective
from offload.planners.thresholds import policy
from tests import synthetic


def branching(tensors: dict[str, int], layers: list[tuple[str, str]], outputs: tuple[str, ...]) -> ModelGraph:
    """Layers given as what they read and what they make; tensors of so many bytes; the input is `x`."""
    return ModelGraph(
        tensors=tuple(Tensor(name=name, shape=(size,), dtype="uint8") for name, size in tensors.items()),
        layers=tuple(
            Layer(
                name=made, kind="conv", op="Op", inputs=tuple(read), outputs=(made,), flops=1, weight_bytes=1000
            )
            for read, made in layers
        ),
        inputs=("x",),
        outputs=outputs,
    )  # fmt: skip


DIAMOND = branching(
    {"x": 100, "a": 10, "b": 20, "c": 40, "d": 5},
    [("x", "a"), ("a", "b"), ("a", "c"), ("bc", "d")],
    ("d",),
)


def diamond(**changes: object) -> Problem:
    return synthetic.problem(
        device=synthetic.profile(DIAMOND, (1.0, 1.0, 1.0, 1.0)),
        server=synthetic.profile(DIAMOND, (0.1, 0.1, 0.1, 0.1)),
        **changes,
    )


@pytest.mark.parametrize("seed", range(30))
def test_a_minimum_cut_loses_no_small_capacity_beside_large_ones(seed: int) -> None:
    rng = random.Random(seed)
    nodes = 7
    arcs = [(a, b) for a in range(nodes) for b in range(nodes) if a != b and rng.random() < 0.5]
    arcs = [*arcs, (0, 6)]
    capacity = np.array([rng.choice([1e-9, 1e-3, 1.0, 1e3]) * rng.uniform(1, 2) for _ in arcs])

    def cost(side: tuple[bool, ...]) -> float:
        return sum(float(c) for (a, b), c in zip(arcs, capacity, strict=True) if side[a] and not side[b])

    sides = [(True, *inner, False) for inner in itertools.product([False, True], repeat=nodes - 2)]
    tail, head = np.array(arcs, dtype=np.int64).T
    network = FlowNetwork(tail, head, source=0, sink=6)
    bound = cost(sides[-1])
    for _ in range(2):
        found = tuple(bool(inside) for inside in network.source_side(capacity, bound=bound))
        assert cost(found) == pytest.approx(min(map(cost, sides)), rel=1e-14)


def test_an_infinite_arc_is_never_cut_and_of_equal_cuts_the_source_has_most() -> None:
    tail, head = np.array([0, 1, 2]), np.array([1, 2, 3])
    network = FlowNetwork(tail, head, source=0, sink=3)
    assert network.source_side(np.array([1.0, np.inf, 1.0]), bound=1.0).tolist() == [True, True, True, False]
    assert network.source_side(np.array([1.0, np.inf, 2.0]), bound=2.0).tolist() == [True, False, False, False]
    assert network.source_side(np.zeros(3), bound=0.0).tolist() == [True, True, True, False]


def test_chains_and_branches_have_as_many_ideals_as_they_should() -> None:
    chain = [[], *([index] for index in range(9))]
    assert ideals(chain, most=100) == [2**length - 1 for length in range(11)]
    branches = [[], [0], [1], [], [3], [4], []]
    found = ideals(branches, most=100)
    assert found is not None
    assert len(found) == len(set(found)) == 4 * 4 * 2
    assert ideals(branches, most=31) is None
    assert ideals([], most=1) == [0]


def test_kernels_and_what_lies_between_their_layers_are_one_block() -> None:
    device = synthetic.profile(DIAMOND, (1.0, 1.0, 1.0), groups=[(0, 3), (1,), (2,)])
    legal = legality(dataclasses.replace(diamond(), device=device))
    assert len(legal.before) == 1
    table = legal_cuts(legal)
    assert table is not None
    assert {table.device(cut) for cut in range(table.size)} == {frozenset(), frozenset(range(4))}


def test_a_pin_tells_which_layers_follow_it() -> None:
    device = synthetic.profile(DIAMOND, (1.0, 1.0, 1.0), groups=[(0,), (1, 2), (3,)])
    of = dataclasses.replace(diamond(), device=device, constraints=Constraints(pins={1: "device"}))
    assert legality(of).notes == ("the pin of b holds for c as well: they are executed as one kernel",)


def test_memory_is_weights_and_the_most_tensors_at_once() -> None:
    table = table_of(DIAMOND, [frozenset(), frozenset({0}), frozenset({0, 1}), frozenset(range(4))])
    # x stays; a and b cross; of the whole, most is live at c (x, a, b, c).
    assert table.memory("device").tolist() == [0, 1000 + 110, 2000 + 130, 4000 + 170]
    # given x, all of it; given a, then b, c and d; given a and b.
    assert table.memory("server").tolist() == [4000 + 170, 3000 + 75, 2000 + 75, 0]


def test_a_tensor_read_on_both_branches_is_paid_once() -> None:
    of = diamond(link=Link(uplink_bps=80.0, downlink_bps=8e9, rtt_s=0.0))
    costs = linear_costs(of)
    assert CutNetwork(legality(of)).least(costs) == frozenset({0})
    first = MinCut().rank(of).options[0]
    assert first.device_layers == (0,)
    assert first.breakdown.latency_s.value == pytest.approx(1.0 + 10 * 8 / 80 + 0.3)


def test_thresholds_by_hand() -> None:
    graph = synthetic.chain(floats=(1000, 250, 1), flops=(1, 1))
    of = synthetic.problem(
        device=synthetic.profile(graph, (1.0, 5.0)),
        server=synthetic.profile(graph, (0.5, 1.0)),
        link=Link(uplink_bps=32e3, downlink_bps=1e12, rtt_s=0.0),
    )
    # 6 here; 1 + 8000 bits up + K there; 32000 bits up + 1.5 K there.
    table = policy(of, loads=(1.0,))
    here, head, there = table.choices
    assert [choice.device_layers for choice in (here, head, there)] == [(0, 1), (0,), ()]
    assert [(row.choice, row.least_server_load) for row in table.by_uplink] == [(1, 1.0), (2, 1.0)]
    assert table.by_uplink[0].fastest_uplink_bps == pytest.approx(24_000 / 0.5)
    heavy = policy(dataclasses.replace(of, server_load=4.8), loads=())
    assert [heavy.choices[row.choice].device_layers for row in heavy.by_uplink] == [(0, 1), (0,)]
    assert heavy.by_uplink[0].fastest_uplink_bps == pytest.approx(8_000 / 0.2)
    assert [row.choice for row in table.by_load] == [1, 0]
    assert table.by_load[0].most_server_load == pytest.approx(4.75)


def test_a_policy_carries_what_each_choice_costs() -> None:
    graph = synthetic.chain(floats=(1000, 250, 1), flops=(1, 1))
    of = synthetic.problem(
        device=synthetic.profile(graph, (1.0, 5.0)),
        server=synthetic.profile(graph, (0.5, 1.0)),
        link=Link(uplink_bps=32e3, downlink_bps=1e12, rtt_s=0.0),
    )
    table = policy(of, loads=())
    coefficients = [
        (terms.fixed, terms.per_load, terms.per_bit_s, terms.radio) for (terms,) in (c.stages for c in table.choices)
    ]
    for told, by_hand in zip(coefficients, [(6, 0, 0, 0), (1, 1, 8000, 0), (0, 1.5, 32_000, 0)], strict=True):
        assert told == pytest.approx(by_hand, abs=1e-9)
    throughput = policy(dataclasses.replace(of, target="throughput"), loads=())
    head = next(choice for choice in throughput.choices if choice.device_layers == (0,))
    for terms, by_hand in zip(head.stages, [(1, 0, 0), (0, 0, 8000), (0, 1, 0), (0, 0, 0)], strict=True):
        assert (terms.fixed, terms.per_load, terms.per_bit_s) == pytest.approx(by_hand, abs=1e-9)


def test_thresholds_of_the_throughput_by_hand() -> None:
    graph = synthetic.chain(floats=(1000, 2500, 1), flops=(1, 1))
    of = synthetic.problem(
        device=synthetic.profile(graph, (1.0, 5.0)),
        server=synthetic.profile(graph, (0.5, 0.9)),
        link=Link(uplink_bps=32e3, downlink_bps=1e12, rtt_s=0.0),
        target="throughput",
    )
    # An answer every 6 s here; max(1, 80000 bits up, 0.9 K) at the head; max(32000 bits up, 1.4 K) there.
    table = policy(of, loads=(4.0,))
    rows = [row for row in table.by_uplink if row.least_server_load == 4.0]
    assert [table.choices[row.choice].device_layers for row in rows] == [(), (0,)]
    assert rows[0].fastest_uplink_bps == pytest.approx(80_000 / 5.6)
    assert [table.choices[row.choice].device_layers for row in table.by_load] == [(), (0,), (0, 1)]
    assert [row.most_server_load for row in table.by_load] == pytest.approx([2.5 / 1.4, 6 / 0.9, 100.0])


def limit(option: str, device: tuple[float, ...], server: tuple[float, ...]) -> Limit:
    """At most 0.5 of a sum over the two layers of a chain."""
    free = {"input": 0.0, "t0": 0.0, "t1": 0.0}
    costs = LinearCosts(
        device=device, server=server, up=free, down=free,
        device_fixed=0.0, offload_fixed=0.0, divided_fixed=0.0, units=(),
    )  # fmt: skip
    return Limit(option=option, quantity="sum", most=0.5, costs=costs, words=str)


def test_limits_that_no_cut_keeps_to_alone_are_all_named() -> None:
    cuts = table_of(synthetic.chain((1, 1, 1), (1, 1)), [frozenset(), frozenset({0}), frozenset({0, 1})])
    never = [limit("--one", (1, 1), (1, 1)), limit("--two", (1, 2), (1, 2))]
    verdict = infeasible(never, cuts, which="any cut")
    assert verdict.message == (
        "the least sum any cut reaches is 2.0, --one asks for 0.5: 1.5 short; "
        "the least sum any cut reaches is 3.0, --two asks for 0.5: 2.5 short"
    )
    assert verdict.hint == "loosen --one and --two, or plan for a faster link or server"


def test_limits_of_which_no_two_go_together_are_all_named() -> None:
    cuts = table_of(synthetic.chain((1, 1, 1), (1, 1)), [frozenset(), frozenset({0}), frozenset({0, 1})])
    one_each = [limit("--a", (1, 0), (0, 0)), limit("--b", (0, 1), (1, 0)), limit("--c", (0, 0), (0, 1))]
    assert [int(within([each], cuts).sum()) for each in one_each] == [1, 1, 1]
    assert "no cut keeps to --a, --b, --c together" in infeasible(one_each, cuts, which="any cut").message


def wide(branches: int = 17, **changes: object) -> Problem:
    """Layers side by side, each of which can be on either side: 2**17 legal cuts and more."""
    made = [f"b{number}" for number in range(branches)]
    graph = ModelGraph(
        tensors=tuple(Tensor(name=name, shape=(4000,), dtype="uint8") for name in ("x", *made, "y")),
        layers=(
            *(
                Layer(name=name, kind="conv", op="Op", inputs=("x",), outputs=(name,), flops=1, weight_bytes=1000)
                for name in made
            ),
            Layer(name="y", kind="other", op="Op", inputs=tuple(made), outputs=("y",), flops=1, weight_bytes=0),
        ),
        inputs=("x",),
        outputs=("y",),
    )
    times = [0.001 * (1 + number % 5) for number in range(branches + 1)]
    return synthetic.problem(
        device=synthetic.profile(graph, times),
        server=synthetic.profile(graph, times[::-1]),
        link=Link(uplink_bps=100e6, downlink_bps=100e6, rtt_s=0.001),
        **changes,
    )


def test_more_cuts_than_a_search_visits_are_covered_by_the_minimum_cut() -> None:
    ranking = MinCut().rank(wide())
    assert ranking.exact
    assert ranking.legal_cuts is None
    costs, rng = linear_costs(wide()), random.Random(0)
    for _ in range(200):
        device = frozenset(number for number in range(17) if rng.random() < 0.5)
        assert ranking.bound is not None
        assert table_of(wide().graph, [device]).sums(costs)[0] >= ranking.bound * (1 - 1e-12)


@pytest.mark.parametrize(
    "changes",
    [{"target": "throughput"}, {"constraints": Constraints(device_memory_bytes=20_000)}],
    ids=["throughput", "memory"],
)
def test_more_cuts_than_a_search_visits_are_bounded_and_said_so(changes: dict[str, object]) -> None:
    of = wide(**changes)
    ranking = MinCut().rank(of)
    assert ranking.legal_cuts is None
    assert ranking.bound is not None
    assert 0 < ranking.bound <= objective(of, ranking.options[0])
    assert ranking.notes[-1].startswith("there are more than 100,000 legal cuts, too many to visit")
    assert "%" in ranking.notes[-1] or "none is better" in ranking.notes[-1]


def test_a_memory_that_no_cut_keeps_to_is_refused_without_visiting_all() -> None:
    limits = Constraints(server_memory_bytes=1.0, pins={0: "server"})
    with pytest.raises(
        VerdictError, match=r"the least server memory for weights alone any cut reaches is 1\.0 kB"
    ) as raised:
        MinCut().rank(wide(18, constraints=limits))
    assert raised.value.hint == "loosen --server-memory", "no faster link makes a memory larger"

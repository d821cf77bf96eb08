"""Which server looks at what: against brute force over all assignments, and against what is simpler."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from offload.video.boxes import NO_BOXES, areas, as_boxes, coverages, hull
from offload.video.partitioning import (
    NOBODY,
    RULES,
    Partition,
    Rule,
    ServerCost,
    equal_strips,
    fitted,
    partitioned,
    published_strips,
    strongest,
    with_compensation,
)

Boxes = NDArray[np.float64]
Case = tuple[Boxes, tuple[ServerCost, ...]]
WIDTH, HEIGHT = 2560, 1440


@st.composite
def cases(draw: st.DrawFn, most_boxes: int = 20, most_servers: int = 5) -> Case:
    """Boxes anywhere, also half or wholly outside, and servers of any speed, also very slow ones."""
    number = st.floats(0, 1, allow_nan=False)
    rows = []
    for _ in range(draw(st.integers(0, most_boxes))):
        left, top = draw(number) * 1.4 * WIDTH - 0.2 * WIDTH, draw(number) * 1.4 * HEIGHT - 0.2 * HEIGHT
        rows.append((left, top, left + 1 + draw(number) * 700, top + 1 + draw(number) * 700))
    servers = tuple(
        ServerCost(
            fixed_s=draw(st.sampled_from([0.0, 1e-3, 2e-2])),
            seconds_per_pixel=draw(st.sampled_from([1e-9, 3e-8, 1e-7, 1e-3])),
        )
        for _ in range(draw(st.integers(1, most_servers)))
    )
    return as_boxes(rows), with_compensation(servers, draw(st.sampled_from([0.0, 0.16 * WIDTH * HEIGHT])))


def random_case(rng: np.random.Generator) -> Case:
    """As few boxes and servers as brute force allows; sizes, speeds and fixed times of several magnitudes."""
    sides = np.exp(rng.uniform(math.log(30), math.log(rng.choice([200, 500, 1200])), (rng.integers(1, 8), 2)))
    middles = rng.uniform(0, 1, sides.shape) * [WIDTH, HEIGHT]
    whole_s, unlike = rng.uniform(0.05, 0.4), rng.choice([0, 1, 2])
    servers = tuple(
        ServerCost(
            fixed_s=whole_s * rng.choice([0, 0.02, 0.1]) * rng.uniform(0.5, 2),
            seconds_per_pixel=whole_s / (WIDTH * HEIGHT) * math.exp(rng.uniform(-1, 1) * unlike),
        )
        for _ in range(rng.integers(2, 5))
    )
    if rng.random() < 1 / 3:
        servers = with_compensation(servers, 0.16 * WIDTH * HEIGHT)
    return np.concatenate([middles - sides / 2, middles + sides / 2], axis=1), servers


def in_frame(boxes: Boxes) -> Boxes:
    """What of each box is in the frame, out to whole pixels."""
    left, top = np.floor(np.clip(boxes[:, :2], 0, [WIDTH, HEIGHT])).T
    right, bottom = np.ceil(np.clip(boxes[:, 2:], 0, [WIDTH, HEIGHT])).T
    return np.stack([left, top, right, bottom], axis=1)


def least_s(boxes: Boxes, servers: Sequence[ServerCost]) -> float:
    """The least time of the slowest server over all assignments of boxes to servers."""
    boxes = in_frame(boxes)
    owners = np.indices((len(servers),) * len(boxes)).reshape(len(boxes), -1).T
    slowest = np.zeros(len(owners))
    for number, server in enumerate(servers):
        mine = (owners == number)[..., None]
        low = np.where(mine, boxes[:, :2], np.inf).min(axis=1)
        high = np.where(mine, boxes[:, 2:], -np.inf).max(axis=1)
        pixels = np.maximum(high - low, 0).prod(axis=1)
        busy = np.where(pixels > 0, server.fixed_s + pixels * server.seconds_per_pixel, 0) + server.extra_s
        slowest = np.maximum(slowest, busy)
    return float(slowest.min())


def whole_strips_s(boxes: Boxes, servers: Sequence[ServerCost]) -> float:
    """Equal strips of the frame, each widened to hold the boxes that are most in it whole."""
    strips, times = equal_strips(boxes, servers, width=WIDTH, height=HEIGHT), []
    for number, server in enumerate(servers):
        held = hull(np.concatenate([strips.regions[number], in_frame(boxes)[strips.owner == number]]))
        times.append(server.time_s(float(areas(held).sum())))
    return max(times)


def split(boxes: Boxes, servers: Sequence[ServerCost], rule: Rule = "elf") -> Partition:
    return RULES[rule](boxes, servers, width=WIDTH, height=HEIGHT)


@pytest.mark.parametrize("rule", ["elf", "published"])
@given(case=cases())
@settings(max_examples=100, deadline=None)
def test_no_box_is_lost_and_each_is_whole_in_its_region(rule: Rule, case: Case) -> None:
    boxes, servers = case
    found, inside = split(boxes, servers, rule), in_frame(boxes)
    assert ((found.owner == NOBODY) == (areas(inside) == 0)).all()
    for number, server in enumerate(servers):
        region, own = found.regions[number], inside[found.owner == number]
        np.testing.assert_array_equal(region, hull(own))  # holds all of them, and nothing more
        assert (region == np.round(region)).all()
        assert ((region >= 0) & (region <= [WIDTH, HEIGHT, WIDTH, HEIGHT])).all()
        assert found.times_s[number] == server.time_s(float(areas(region).sum()))
    assert found.slowest_s == max(found.times_s)


@given(case=cases())
@settings(max_examples=100, deadline=None)
def test_never_slower_than_what_is_simpler(case: Case) -> None:
    boxes, servers = case
    elf_s = split(boxes, servers).slowest_s
    assert elf_s <= split(boxes, servers, "published").slowest_s
    assert elf_s <= whole_strips_s(boxes, servers)
    around = float(areas(hull(in_frame(boxes)[areas(in_frame(boxes)) > 0])).sum())
    busy_s = max(server.extra_s for server in servers)
    assert all(elf_s <= max(busy_s, server.time_s(around)) for server in servers)


@given(case=cases())
@settings(max_examples=100, deadline=None)
def test_never_slower_than_equal_strips_where_these_cut_no_box(case: Case) -> None:
    boxes, servers = case
    strips = split(boxes, servers, "equal")
    inside = in_frame(boxes)
    seen = inside[areas(inside) > 0]
    held = coverages(seen, np.concatenate([NO_BOXES, *strips.regions])).max(axis=1, initial=0.0)
    whole = seen[held == 1.0]
    assert split(whole, servers).slowest_s <= strips.slowest_s


def test_as_good_as_brute_force_on_average() -> None:
    rng = np.random.default_rng(0)
    ratios = []
    for _ in range(200):
        boxes, servers = random_case(rng)
        best_s, elf_s = least_s(boxes, servers), split(boxes, servers).slowest_s
        ratios.append(elf_s / best_s)
        # Cutting boxes may be quicker than any whole ones: then only.
        assert elf_s <= max(split(boxes, servers, "equal").slowest_s, best_s * 1.2)
    assert min(ratios) > 1 - 1e-9
    assert np.mean(ratios) < 1.02
    assert np.mean(np.array(ratios) < 1 + 1e-9) > 0.9


@pytest.mark.parametrize("servers", [1, 3])
@pytest.mark.parametrize("rule", RULES)
def test_no_boxes(rule: Rule, servers: int) -> None:
    costs = [ServerCost(fixed_s=1.0, seconds_per_pixel=1.0)] * servers
    found = split(NO_BOXES, costs, rule)
    assert found.owner.shape == (0,)
    if rule != "equal":
        assert all(region.shape == (0, 4) for region in found.regions)
        assert found.times_s == (0.0,) * servers


@pytest.mark.parametrize("rule", ["elf", "published"])
def test_one_box_half_outside_and_one_wholly(rule: Rule) -> None:
    boxes = as_boxes([(-50, -20.5, 49.5, 30.2), (WIDTH + 5, 0, WIDTH + 50, 40)])
    fast, slow = (ServerCost(fixed_s=0.01, seconds_per_pixel=each) for each in (1e-8, 1e-6))
    found = split(boxes, [slow, fast], rule)
    assert found.owner[1] == NOBODY
    np.testing.assert_array_equal(np.concatenate(found.regions), [[0, 0, 50, 31]])
    if rule == "elf":
        assert found.owner[0] == 1


def test_one_server_gets_all() -> None:
    boxes = as_boxes([(10, 20, 30, 40), (500, 600, 700, 800)])
    for rule in ("elf", "published"):
        found = split(boxes, [ServerCost(fixed_s=0.1, seconds_per_pixel=1e-7)], rule)
        np.testing.assert_array_equal(found.regions[0], [[10, 20, 700, 800]])
        assert found.slowest_s == pytest.approx(0.1 + 690 * 780 * 1e-7)


def test_a_very_slow_server_is_left_out() -> None:
    boxes = as_boxes([(100 * each, 100, 100 * each + 80, 200) for each in range(10)])
    fast = ServerCost(fixed_s=0.002, seconds_per_pixel=5e-8)
    found = split(boxes, [fast, ServerCost(fixed_s=5.0, seconds_per_pixel=1e-3), fast])
    assert sorted(set(found.owner.tolist())) == [0, 2]
    assert found.slowest_s == pytest.approx(0.002 + 480 * 100 * 5e-8)


def test_published_strips_are_as_wide_as_their_servers_are_fast() -> None:
    boxes = as_boxes([(200 * each, 100, 200 * each + 100, 200) for each in range(12)])
    costs = [ServerCost(fixed_s=0.0, seconds_per_pixel=each) for each in (1e-7, 2e-7, 1e-7 / 3)]
    owner = published_strips(boxes, costs, width=WIDTH, height=HEIGHT).owner
    np.testing.assert_array_equal(owner, np.repeat([0, 1, 2], [3, 1, 8]))  # speeds of 2 : 1 : 6


@pytest.mark.parametrize(("left", "right", "owner"), [(710, 800, 1), (680, 840, 0)])
def test_published_strips_grow_over_what_they_half_contain_unless_it_costs_too_much(
    left: int, right: int, owner: int
) -> None:
    """Strips of 750 and 250 pixels; more than half of the box in the middle is in the slower server's.

    It adds 40 columns to that one's 250, which is less than a fifth, or 70. What is left over goes where the frame is
    done earlier.
    """
    boxes = as_boxes([(0, 0, 100, 100), (left, 0, right, 100), (900, 0, 1000, 100)])
    costs = [ServerCost(fixed_s=0.0, seconds_per_pixel=each) for each in (1e-7, 3e-7)]
    found = published_strips(boxes, costs, width=WIDTH, height=HEIGHT)
    assert found.owner.tolist() == [0, owner, 1]


def test_clusters_go_one_to_a_server_not_strip_by_strip() -> None:
    """One cluster above, one below: no upright strip tells them apart."""
    boxes = as_boxes([(x, y, x + 60, y + 60) for y in (50, 1300) for x in (1000, 1100, 1200)])
    costs = [ServerCost(fixed_s=0.001, seconds_per_pixel=1e-7)] * 2
    found = partitioned(boxes, costs, width=WIDTH, height=HEIGHT)
    assert len(set(found.owner[:3].tolist())) == len(set(found.owner[3:].tolist())) == 1
    assert found.slowest_s == pytest.approx(0.001 + 260 * 60 * 1e-7)


def test_the_small_frame_goes_to_the_strongest_server_which_gets_fewer_boxes() -> None:
    slow, fast = ServerCost(fixed_s=0.0, seconds_per_pixel=2e-7), ServerCost(fixed_s=0.001, seconds_per_pixel=1e-7)
    servers = with_compensation([slow, fast], 100_000)
    assert strongest([slow, fast], 100_000) == 1
    assert servers[0] == slow
    assert servers[1] == replace(fast, extra_s=servers[1].extra_s)
    assert servers[1].extra_s == pytest.approx(0.011)
    boxes = as_boxes([(200 * each, 100, 200 * each + 100, 200) for each in range(9)])
    without, having = (split(boxes, each) for each in ([slow, fast], servers))
    assert (having.owner == 1).sum() < (without.owner == 1).sum()
    assert having.slowest_s < max(
        server.time_s(areas(region).sum()) for server, region in zip(servers, without.regions, strict=True)
    )


def test_equal_strips_are_the_frames() -> None:
    costs = [ServerCost(fixed_s=0.5, seconds_per_pixel=each) for each in (1.0, 2.0, 3.0)]
    boxes = as_boxes([(0, 0, 5, 5), (3, 0, 6, 5), (8, 2, 30, 9), (20, 0, 30, 9)])
    found = equal_strips(boxes, costs, width=10, height=20)
    np.testing.assert_array_equal(np.concatenate(found.regions), [[0, 0, 3, 20], [3, 0, 7, 20], [7, 0, 10, 20]])
    assert found.times_s == (60.5, 160.5, 180.5)
    np.testing.assert_array_equal(found.owner, [0, 1, 2, NOBODY])
    narrow = equal_strips(boxes, costs, width=2, height=20)
    assert sum(len(region) for region in narrow.regions) == 2
    assert 0.0 in narrow.times_s


@given(
    left=st.floats(-20, 220), top=st.floats(-20, 120), wide=st.floats(0.5, 240), high=st.floats(0.5, 140),
    multiple=st.sampled_from([1, 4, 32, 64, 300]),
)  # fmt: skip
@settings(max_examples=200, deadline=None)
def test_fitted_is_the_smallest_that_the_grid_divides(
    left: float, top: float, wide: float, high: float, multiple: int
) -> None:
    width, height = 203, 100
    region = as_boxes([(left, top, left + wide, top + high)])
    found = fitted(region, multiple, width=width, height=height)
    for low, high_, frame, begin, end in (
        (found[0, 0], found[0, 2], width, left, left + wide),
        (found[0, 1], found[0, 3], height, top, top + high),
    ):
        begin, end = math.floor(min(max(begin, 0), frame)), math.ceil(min(max(end, 0), frame))
        assert 0 <= low <= begin
        assert end <= high_ <= frame
        assert low == round(low)
        side = high_ - low
        assert side == min(next(each for each in range(0, 1000, multiple) if each >= end - begin), frame)


def test_fitted_keeps_none_as_none() -> None:
    assert fitted(NO_BOXES, 32, width=100, height=100).shape == (0, 4)


@pytest.mark.parametrize("wrong", [{"fixed_s": -1.0}, {"seconds_per_pixel": 0.0}, {"extra_s": -0.1}])
def test_costs_that_cannot_be(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="not negative"):
        ServerCost(**({"fixed_s": 0.0, "seconds_per_pixel": 1.0} | wrong))

"""ELF's planner: every figure against an independent calculation, and the choice against trying everything."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offload.artifacts.link import AffineCost, Link, ProtocolCost, ProtocolSample
from offload.artifacts.plan import Radio
from offload.artifacts.video_plan import VideoOption, VideoPlan
from offload.artifacts.video_profile import CropRecord, Setting, VideoProfile
from offload.errors import OffloadError, VerdictError
from offload.planners.elf import ElfProblem, GivenServer, plan_elf
from offload.planners.video_costs import ServerModel
from offload.reports.render import render
from offload.video.boxes import areas, as_boxes
from offload.video.expansion import expanded
from offload.video.methods.base import Ask
from offload.video.methods.elf import Elf, ElfSettings
from offload.video.partitioning import ServerCost
from offload.video.proposals.hold import Hold
from offload.video.timing import AskCost, Line, ask_times
from tests import made_video_profiles as made

LINK = Link(uplink_bps=50e6, downlink_bps=20e6, rtt_s=0.004)
NEAR = Link(uplink_bps=1e9, downlink_bps=1e9, rtt_s=0.0)
RADIO = Radio(name="made", alpha_w_per_bps=1e-8, beta_w=0.5, fitted_to_bps=1e9, source="made")
Law = tuple[float, float, float]
"""A server's fixed seconds, seconds a pixel of the detector, and of decoding."""
LAWS: tuple[Law, ...] = ((0.002, 1e-7, 1e-8), (0.001, 3e-7, 2e-8), (0.004, 8e-8, 1e-8))


def _server(law: Law, name: str = "server", **fields: object) -> GivenServer:
    fixed_s, detector_s, decode_s = law
    told = made.crops(fixed_s=fixed_s, seconds_per_pixel=detector_s, decode_seconds_per_pixel=decode_s, **fields)
    return GivenServer(name=name, address=None, crops=told, profile_hash=None)


def _problem(profile: VideoProfile | None = None, laws: Sequence[Law] = LAWS, **fields: object) -> ElfProblem:
    told: dict[str, object] = {
        "profile": profile or made.video_profile(),
        "servers": tuple(_server(law, f"server {number}") for number, law in enumerate(laws)),
        "link": LINK,
        "target": "latency",
        "radio": None,
        "least_ap50": 0.0,
    }
    return ElfProblem(**(told | fields))


def test_a_frame_of_two_images_by_hand() -> None:
    """10 000 bytes at 8 Mbit/s are 10 ms, an answer of 1000 bytes at 4 Mbit/s 2 ms, half of a round trip 3 ms."""
    line = Line(uplink_bps=8e6, downlink_bps=4e6, rtt_s=0.006)
    first = AskCost(server=0, encode_s=0.002, sent_bytes=10_000, decode_s=0.001, server_s=0.020, answer_bytes=1000)
    other = AskCost(server=1, encode_s=0.002, sent_bytes=5_000, decode_s=0.001, server_s=0.004, answer_bytes=1000)
    again = AskCost(server=0, encode_s=0.001, sent_bytes=1_000, decode_s=0.001, server_s=0.003, answer_bytes=1000)
    one, two, three = ask_times((first, other, again), line)
    # encoded at 2 ms, on the line until 12 ms, there at 15 ms, done at 36 ms, answered 2 + 3 ms later
    assert (one.sent_at_s, one.uplink_s, one.queue_s) == pytest.approx((0.002, 0.013, 0.0))
    assert one.done_s == pytest.approx(0.041)
    # encoded at 4 ms, waits for the line until 12 ms, there at 12 + 5 + 3 ms, done 5 ms later
    assert (two.sent_at_s, two.uplink_s, two.queue_s) == pytest.approx((0.004, 0.016, 0.0))
    assert two.done_s == pytest.approx(0.030)
    # encoded at 5 ms, sent after 17 ms, there at 21 ms; its server is busy until 36 ms
    assert (three.sent_at_s, three.uplink_s, three.queue_s) == pytest.approx((0.005, 0.016, 0.015))
    assert three.done_s == pytest.approx(0.036 + 0.004 + 0.005)


def test_the_protocol_adds_to_declared_links_and_is_within_measured_ones() -> None:
    protocol = ProtocolCost(
        encode=AffineCost(),
        uplink=AffineCost(fixed_s=0.001, per_byte_s=1e-9, above_s=0.002, message_bytes=100),
        decode=AffineCost(),
        downlink=AffineCost(fixed_s=0.0005, message_bytes=50),
    )
    ask = AskCost(server=0, encode_s=0, sent_bytes=1000, decode_s=0, server_s=0, answer_bytes=200)
    declared = Line.of(Link(uplink_bps=8e6, downlink_bps=8e6, rtt_s=0.004), protocol)
    (times,) = ask_times((ask,), declared)
    assert times.uplink_s == pytest.approx(1100e-6 + 0.002 + 0.001 + 1e-6)
    assert times.downlink_s == pytest.approx(250e-6 + 0.002 + 0.0005)
    slow = Line.of(Link(uplink_bps=8e6, downlink_bps=8e6, rtt_s=0.004), protocol, off=1)
    assert ask_times((ask,), slow)[0].uplink_s == pytest.approx(times.uplink_s + 0.002)
    curve = AffineCost(fixed_s=0.01, per_byte_s=1e-6, below_s=0.004, above_per_byte_s=1e-6)
    measured = Link(uplink_bps=8e6, downlink_bps=8e6, rtt_s=1.0, uplink_curve=curve, downlink_curve=curve)
    assert ask_times((ask,), Line.of(measured, protocol))[0].uplink_s == pytest.approx(0.011)
    assert ask_times((ask,), Line.of(measured, protocol, off=-1))[0].uplink_s == pytest.approx(0.007)
    assert ask_times((ask,), Line.of(measured, protocol, off=1))[0].downlink_s == pytest.approx(0.01 + 200 * 2e-6)


def _asks(setting: Setting, servers: Sequence[int], laws: Sequence[Law], number: int) -> tuple[Ask, ...]:
    """ELF's own division of a frame of the made clip."""
    loop = Elf(
        settings=ElfSettings.of(setting, made.MULTIPLE),
        predictor=Hold(),
        width=made.WIDTH,
        height=made.HEIGHT,
        servers=[
            ServerCost(fixed_s=law[0], seconds_per_pixel=law[1] + law[2]) if place in servers else None
            for place, law in enumerate(laws)
        ],
    )
    wanted = expanded(as_boxes(made.boxes(number)), setting.expansion, width=made.WIDTH, height=made.HEIGHT)
    return loop.asks(number, wanted[areas(wanted) > 0])


def _simulated(
    setting: Setting, servers: Sequence[int], laws: Sequence[Law], link: Link, *, protocol_s: float = 0.0
) -> tuple[list[float], float]:
    """Latency of each frame and bytes of a frame, written down anew: the law of the made clip, event by event."""
    latencies, sent = [], 0.0
    for number in range(made.FRAMES):
        clock = line_free = 0.0
        free = dict.fromkeys(servers, 0.0)
        last = 0.0
        for ask in _asks(setting, servers, laws, number):
            size = made.HEADER + made.BYTES_A_PIXEL * setting.quality / 80 * ask.pixels
            clock += made.ENCODE_S_A_PIXEL * ask.pixels
            line_free = max(line_free, clock) + size * 8 / link.uplink_bps
            fixed_s, detector_s, decode_s = laws[ask.server]
            begun = max(line_free + link.rtt_s / 2 + protocol_s, free[ask.server])
            free[ask.server] = begun + fixed_s + (detector_s + decode_s) * ask.pixels
            last = max(last, free[ask.server] + made.ANSWER_BYTES * 8 / link.downlink_bps + link.rtt_s / 2)
            sent += size
        latencies.append(made.PLAN_S + last + made.MERGE_S)
    return latencies, sent / made.FRAMES


def _every_way(laws: Sequence[Law]) -> list[tuple[Setting, tuple[int, ...], float]]:
    """Each measured setting on the servers that are fastest for what it sends, written down anew, with its AP50."""
    ways = []
    for setting, ap50 in made.TRIED:
        sent = made.replay(setting, ap50=ap50).sent_pixels
        pixels = sum(sent) / len(sent)
        order = sorted(range(len(laws)), key=lambda place: laws[place][0] + (laws[place][1] + laws[place][2]) * pixels)
        for count in range(1, len(laws) + 1):
            if setting.rule == "equal" and setting.whole != (count == 1):
                continue
            if setting == made.ELF.model_copy(update={"servers": 1}) and count > 1:
                continue  # the same loop was measured with three
            if setting == made.ELF and count == 1:
                continue  # and with one
            ways.append((setting.model_copy(update={"servers": count}), tuple(sorted(order[:count])), ap50))
    return ways


@pytest.mark.parametrize("link", [LINK, NEAR], ids=["far", "near"])
@pytest.mark.parametrize("least", [0.0, 0.79, 0.799], ids=["any", "most", "all"])
def test_the_plan_is_the_best_of_all_ways_each_as_simulated_by_itself(link: Link, least: float) -> None:
    plan = plan_elf(_problem(link=link, least_ap50=least), pareto=True)
    ways = [way for way in _every_way(LAWS) if way[2] >= least]
    means = {(setting, servers): _simulated(setting, servers, LAWS, link) for setting, servers, _ in ways}
    best_s = min(float(np.mean(latencies)) for latencies, _ in means.values())
    assert plan.chosen.mean_s.value == pytest.approx(best_s, rel=1e-3)
    assert plan.considered == len(ways)
    for option in (plan.chosen, *plan.by_servers, *plan.alternatives, *plan.pareto):
        latencies, sent = means[option.setting, option.servers]
        _same(option, latencies, sent)
        assert option.ap50 >= least
    whole, sent = _simulated(made.WHOLE, plan.whole.servers, LAWS, link)
    _same(plan.whole, whole, sent)
    assert plan.whole.servers == (2,)  # it takes least for a whole frame


def _same(option: VideoOption, latencies: list[float], sent: float) -> None:
    """A JPEG's size is rounded in replays, which shows in the fourth digit."""
    assert option.mean_s.value == pytest.approx(np.mean(latencies), rel=1e-3)
    assert option.p50_s.value == pytest.approx(np.percentile(latencies, 50), rel=1e-3)
    # each frame counts in several runs, which are the same here: nothing lies between two frames' latencies
    assert option.p95_s.value == pytest.approx(np.percentile(np.repeat(latencies, 8), 95), rel=1e-3)
    assert option.bytes_a_frame == pytest.approx(sent, rel=1e-3)
    for frame, latency_s in zip(option.frames, latencies, strict=bool(option.frames)):
        assert frame.latency_s == pytest.approx(latency_s, rel=1e-3)
        last_s = max((ask.done_s for ask in frame.asks), default=frame.plan_s)
        assert frame.latency_s == pytest.approx(last_s + frame.merge_s)


def test_the_first_frame_and_those_with_a_small_frame_are_part_of_the_averages() -> None:
    plan = plan_elf(_problem(least_ap50=0.79))
    assert [any(ask.scale != 1 for ask in frame.asks) for frame in plan.chosen.frames] == [False] * 3 + [
        True,
        False,
        False,
    ]
    width, height = plan.clip.width, plan.clip.height
    assert sum(ask.pixels for ask in plan.chosen.frames[0].asks) >= width * height  # in strips, to the detector's grid
    assert plan.chosen.mean_s.value == pytest.approx(np.mean([frame.latency_s for frame in plan.chosen.frames]))


@settings(max_examples=15, deadline=None)
@given(rate=st.floats(1e6, 1e9), faster=st.floats(1, 20), rtt=st.floats(0, 0.05), nearer=st.floats(0, 1))
def test_a_faster_link_is_never_slower(rate: float, faster: float, rtt: float, nearer: float) -> None:
    profile = made.video_profile(made.TRIED[:3])
    slow, fast = (
        plan_elf(_problem(profile, LAWS[:2], link=Link(uplink_bps=bps, downlink_bps=bps, rtt_s=rtt_s)))
        for bps, rtt_s in ((rate, rtt), (rate * faster, rtt * nearer))
    )
    assert fast.chosen.mean_s.value <= slow.chosen.mean_s.value + 1e-12
    assert fast.whole.mean_s.value <= slow.whole.mean_s.value + 1e-12


@settings(max_examples=15, deadline=None)
@given(
    law=st.tuples(st.floats(0, 0.01), st.floats(1e-8, 1e-6), st.floats(0, 1e-7)),
    slower=st.floats(1, 10),
    rate=st.floats(1e6, 1e9),
)
def test_one_more_server_is_never_worse(law: Law, slower: float, rate: float) -> None:
    profile = made.video_profile(made.TRIED[:4])
    other = (law[0] * slower, law[1] * slower, law[2] * slower)
    link = Link(uplink_bps=rate, downlink_bps=rate, rtt_s=0.002)
    one, two = (plan_elf(_problem(profile, laws, link=link)) for laws in ((law,), (law, other)))
    assert two.chosen.mean_s.value <= one.chosen.mean_s.value + 1e-12


def test_bandwidth_and_energy_are_what_the_targets_say() -> None:
    fewest = plan_elf(_problem(target="bandwidth", least_ap50=0.79))
    sizes = [_simulated(setting, servers, LAWS, LINK)[1] for setting, servers, ap50 in _every_way(LAWS) if ap50 >= 0.79]
    assert fewest.chosen.bytes_a_frame == pytest.approx(min(sizes), rel=1e-3)
    least = plan_elf(_problem(target="energy", radio=RADIO, least_ap50=0.79))
    up_s = least.chosen.bytes_a_frame * 8 / LINK.uplink_bps
    answers = sum(len(frame.asks) for frame in least.chosen.frames) / made.FRAMES
    down_s = answers * made.ANSWER_BYTES * 8 / LINK.downlink_bps
    assert least.chosen.radio_j is not None
    # 1e-8 W a bit/s at 50 Mbit/s and 0.5 W are 1 W; receiving is 0.5 W at any rate
    assert least.chosen.radio_j.value == pytest.approx(up_s * 1.0 + down_s * 0.5)
    assert plan_elf(_problem()).chosen.radio_j is None


def test_an_accuracy_that_nothing_reaches_is_a_verdict_that_says_the_best() -> None:
    with pytest.raises(VerdictError, match=r"AP50 of 0\.900: the best is 0\.800") as refused:
        plan_elf(_problem(least_ap50=0.9))
    assert refused.value.exit_code == 4
    assert "--min-accuracy 80%" in refused.value.hint


def test_whole_frames_are_sent_where_that_is_better() -> None:
    """Dividing costs accuracy here, and no setting that divides keeps to what is asked."""
    plan = plan_elf(_problem(made.video_profile(((made.WHOLE, 0.8), (made.ELF, 0.7))), least_ap50=0.79))
    assert not plan.divides
    assert plan.chosen.setting == made.WHOLE
    assert "Do not divide frames: send each as it is to server 2" in render(plan, "table")


def test_equal_strips_are_not_what_one_server_is_given() -> None:
    strips = made.ELF.model_copy(update={"rule": "equal", "interval": 0})
    plan = plan_elf(_problem(made.video_profile(((made.WHOLE, 0.8), (strips, 0.1)))))
    found = {(len(option.servers), option.ap50) for option in plan.by_servers}
    assert found == {(1, 0.8), (2, 0.1), (3, 0.1)}


def test_intervals_hold_what_was_measured_off_the_line_and_grow_with_it() -> None:
    exact, rough, rougher = (
        plan_elf(_problem(servers=(_server(LAWS[0], off=off),))).chosen.mean_s for off in (0.0, 0.05, 0.1)
    )
    assert exact.low == pytest.approx(exact.value)
    assert exact.high == pytest.approx(exact.value)
    assert rough.low < rough.value < rough.high
    assert rougher.high - rougher.low > rough.high - rough.low
    curve = AffineCost(fixed_s=0.003, per_byte_s=8 / 50e6, above_s=0.005, below_s=0.001)
    measured = Link(
        uplink_bps=50e6, downlink_bps=50e6, rtt_s=0.006, source="measured", uplink_curve=curve, downlink_curve=curve
    )
    straying = plan_elf(_problem(servers=(_server(LAWS[0]),), link=measured)).chosen.mean_s
    assert straying.high - straying.value == pytest.approx(0.010)
    assert straying.value - straying.low == pytest.approx(0.002)


def test_single_runs_that_stray_show_in_the_95th_percentile() -> None:
    steady = made.crops()
    straying = tuple(
        crop.model_copy(update={"samples_s": (crop.samples_s[0] * 0.9, crop.samples_s[0], crop.samples_s[0] * 1.6)})
        for crop in steady
    )
    calm, wild = (
        plan_elf(
            _problem(servers=(GivenServer(name="one", address=None, crops=told, profile_hash=None),), link=NEAR)
        ).whole
        for told in (steady, straying)
    )
    assert calm.p95_s.value == pytest.approx(calm.p50_s.value)
    assert wild.p95_s.value > 1.3 * calm.p95_s.value
    assert wild.p50_s.value == pytest.approx(calm.p50_s.value, rel=0.01)


def test_bytes_follow_the_frames_own_content() -> None:
    """A frame that was twice as large in the replay is twice as large among other servers, too."""
    profile = made.video_profile()
    replays = []
    for replay in profile.replays:
        images = [
            tuple(image.model_copy(update={"sent_bytes": image.sent_bytes * (1 + number)}) for image in frame)
            for number, frame in enumerate(replay.images)
        ]
        replays.append(replay.model_copy(update={"images": tuple(images)}))
    plan = plan_elf(_problem(profile.model_copy(update={"replays": tuple(replays)}), LAWS[:1]))
    for number, frame in enumerate(plan.whole.frames):
        (ask,) = frame.asks
        whole = made.HEADER + made.BYTES_A_PIXEL * made.WIDTH * made.HEIGHT
        assert ask.sent_bytes == pytest.approx(whole * (1 + number), rel=1e-3)


def test_a_server_is_decoding_and_detecting_on_lines() -> None:
    model = ServerModel.of(made.crops(fixed_s=0.003, seconds_per_pixel=2e-7, decode_seconds_per_pixel=3e-8))
    assert model.cost.fixed_s == pytest.approx(0.003)
    assert model.cost.seconds_per_pixel == pytest.approx(2.3e-7)
    assert model.decode.seconds_per_pixel == pytest.approx(3e-8)
    assert (model.residual, set(np.round(model.ratios, 9))) == (pytest.approx(0, abs=1e-9), {1.0})
    told = [
        CropRecord(width=side, height=side, samples_s=(0.01,), decode_s=(0.001,), answer_bytes=side)
        for side in (100, 200)
    ]
    assert ServerModel.of(told).answer_bytes(25_000) == pytest.approx(150)
    assert ServerModel.of(told).answer_bytes(1e6) == pytest.approx(100 + 100 * 99 / 3)


def test_what_was_measured_counts_between_sizes_though_no_line_fits() -> None:
    told = [
        CropRecord(width=side, height=100, samples_s=(took_s,) * 3, decode_s=(0.001,) * 3, answer_bytes=1)
        for side, took_s in ((100, 0.010), (200, 0.011), (300, 0.030))
    ]
    model = ServerModel.of(told)
    assert [model.detector_s(pixels) for pixels in (10_000, 15_000, 20_000, 25_000, 30_000)] == pytest.approx(
        [0.010, 0.0105, 0.011, 0.0205, 0.030]
    )
    assert model.detector_s(5_000) == pytest.approx(0.0095)
    assert model.residual > 0.1
    # 21 ms between the first and the last, where 12 ms were measured
    assert model.straying == pytest.approx(min(0.9, 1.96 / 0.6745 * (21 / 12 - 1)))


def test_the_protocols_own_cost_is_part_of_a_prediction() -> None:
    samples = tuple(
        ProtocolSample(
            uplink_bytes=size, downlink_bytes=size, encode_s=0.0, uplink_s=0.001, decode_s=0.0, downlink_s=0.001
        )
        for size in (1000, 100_000)
    )
    without, with_it = (plan_elf(_problem(made.video_profile(protocol=told))).whole for told in ((), samples))
    assert with_it.mean_s.value - without.mean_s.value == pytest.approx(0.002)


def test_what_the_plan_says_of_itself() -> None:
    plan = plan_elf(_problem(servers=(_server(LAWS[0], off=0.3), _server(LAWS[1]), _server(LAWS[0]), _server(LAWS[0]))))
    told = " ".join(plan.warnings)
    assert "off a line by area" in told
    assert "the serving protocol's cost was not measured" in told
    assert f"accuracies are of {made.FRAMES} frames, which tell little" in told
    far = plan_elf(_problem(link=Link(uplink_bps=1e5, downlink_bps=1e5, rtt_s=0.1)))
    assert any("frames will wait or be skipped" in warning for warning in far.warnings)


def test_accuracy_is_that_of_as_many_servers_or_more_and_fewer_are_warned_of() -> None:
    """More servers look at less of a frame and find less, so what fewer found would flatter."""
    three, one = made.ELF, made.ELF.model_copy(update={"servers": 1})
    profile = made.video_profile(((made.WHOLE, 0.3), (three, 0.5), (one, 0.8)))
    plan = plan_elf(_problem(profile, [LAWS[0]] * 4))
    told = {len(option.servers): (option.ap50, option.accuracy_servers) for option in plan.by_servers}
    assert told == {1: (0.8, 1), 2: (0.5, 3), 3: (0.5, 3), 4: (0.5, 3)}
    assert plan.chosen.setting.servers == 4
    assert any("measured with 3 servers, and 4 look at less" in warning for warning in plan.warnings)
    two = plan_elf(_problem(profile, [LAWS[0]] * 2))
    assert any("measured with 3 servers, which look at less of each frame than 2" in note for note in two.notes)
    assert not any("look at less" in warning for warning in two.warnings)


def test_a_document_of_a_plan_is_read_again_and_damage_is_noticed() -> None:
    plan = plan_elf(_problem(radio=RADIO), pareto=True)
    assert VideoPlan.from_json(plan.to_json(), source="it") == plan
    for spoil, told in (
        (lambda document: document["chosen"].update(servers=[0, 9, 1]), "does not name"),
        (lambda document: document["chosen"].update(servers=[0]), "as many servers"),
        (lambda document: document["chosen"]["frames"].pop(), "each frame"),
        (lambda document: document["whole"]["setting"].update(rule="elf"), "whole frame"),
    ):
        document = json.loads(plan.to_json())
        spoil(document)
        with pytest.raises(OffloadError, match=told):
            VideoPlan.from_json(json.dumps(document), source="it")


def test_a_report_tells_what_to_do_and_what_it_gains() -> None:
    plan = plan_elf(_problem(radio=RADIO, least_ap50=0.79), pareto=True)
    text = render(plan, "table")
    assert "Divide frames among 3 servers by ELF's partition" in text
    ratio = plan.whole.mean_s.value / plan.chosen.mean_s.value
    assert f"{ratio:.2f}× as fast as whole frames" in text
    assert "energy of the radio" in text
    assert "50 Mbit/s up, 20 Mbit/s down" in text
    alone = render(plan_elf(_problem(laws=LAWS[:1], least_ap50=0.79)), "table")
    assert "Send one server the region around all objects, JPEG quality 80." in alone
    records = render(plan, "csv").splitlines()
    columns = records[0].split(",")
    chosen = dict(zip(columns, records[1].split(","), strict=True))
    assert chosen["option"] == "chosen"
    assert float(chosen["mean_s"]) == plan.chosen.mean_s.value
    assert math.isclose(float(chosen["ap50_change"]), plan.chosen.ap50_change)

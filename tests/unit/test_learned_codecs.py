"""Learned codecs: their networks, and what is exported of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from offload.artifacts.codec import LearnedKind
from offload.codecs.base import HEADER_BYTES
from offload.codecs.trained import (
    DECODER,
    MANIFEST,
    TrainedFiles,
    check_fits,
    find_trained,
    load_trained,
    named_trained,
)
from offload.errors import OffloadError
from offload.graph.model_graph import Tensor
from offload.runtimes.onnxruntime import OnnxRuntime
from offload.runtimes.trained_codec import TrainedCodecSession
from offload.training.deepcod import _principal
from offload.training.layout import Layout
from offload.training.learned import NETWORKS
from offload.training.losses import backward
from offload.training.network import Bounds, LearnedCodec, Shaping
from tests import tiny_training

KINDS: tuple[LearnedKind, ...] = ("deepcod", "autoencoder", "entropic")
SHAPES = {
    "image": ((1, 3, 16, 16), (16, 16), 4),
    "odd": ((1, 5, 13, 9), (13, 9), 2),
    "small": ((1, 12, 4, 4), (4, 4), 1),
    "sequence": ((1, 8, 30), (30,), 4),
    "vector": ((1, 24, 1), (1,), 1),
}


def network_for(kind: LearnedKind, name: str, ratio: float = 0.05, **changes: Any) -> tuple[LearnedCodec, torch.Tensor]:
    shape, places, stride = SHAPES[name]
    layout = Layout(shape=shape, order=tuple(range(len(shape))), places=places)
    bounds = Bounds(low=(0.0,), high=(1.0,)) if name == "image" else None
    torch.manual_seed(0)
    shaping = Shaping(layout=layout, stride=stride, ratio=ratio, bounds=bounds)
    network = NETWORKS[kind](shaping, tiny_training.settings(kind, **changes))
    x = torch.rand(24, *shape[1:]) * (1 if bounds else 7)
    network.prepare(x, encoder=True)
    return network, x


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", SHAPES)
def test_networks_take_images_maps_sequences_and_vectors(kind: LearnedKind, name: str) -> None:
    network, x = network_for(kind, name)
    made, penalty = network(x)
    assert made.shape == x.shape
    assert penalty.shape == ()
    symbols = network.symbols(x)
    assert symbols.dtype == torch.uint8
    assert symbols.shape == (len(x), *network.symbols_shape[1:])
    assert int(symbols.max()) < network.levels
    if name == "image":
        assert 0 <= float(made.detach().min()) <= float(made.detach().max()) <= 1


@pytest.mark.parametrize("kind", KINDS)
def test_what_trains_is_what_hard_symbols_decode_to(kind: LearnedKind) -> None:
    network, x = network_for(kind, "odd")
    network.eval()
    with torch.no_grad():
        torch.testing.assert_close(network(x)[0], network.decode(network.symbols(x)), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_reach_encoder_quantiser_and_decoder(kind: LearnedKind) -> None:
    network, x = network_for(kind, "image")
    made, penalty = network(x)
    (made.square().mean() + penalty).backward()
    without = {name for name, weight in network.named_parameters() if weight.grad is None}
    assert not without
    encoder = [weight.grad for weight in network.encoder.parameters()]
    assert all(float(gradient.abs().max()) > 0 for gradient in encoder)


def test_centres_may_change_their_order_in_training() -> None:
    network, x = network_for("deepcod", "odd")
    network.eval()
    with torch.no_grad():
        network.centres.copy_(network.centres[torch.tensor([3, 0, 7, 1, 6, 2, 5, 4])] * 1.1)
        torch.testing.assert_close(network(x)[0], network.decode(network.symbols(x)), rtol=1e-4, atol=1e-4)


def test_the_encoder_learns_through_the_soft_assignment() -> None:
    """Its gradient is that of the centres' mean, weighed by exp(-temperature * distance^2) (the paper's softmax)."""
    network, x = network_for("deepcod", "small")
    network, x = network.double().eval(), x.double()
    values = network.encoder(x).detach().requires_grad_()
    distances = values.unsqueeze(-1) - network.centres.detach()
    soft = (torch.softmax(-network.temperature * distances.square(), dim=-1) * network.centres.detach()).sum(-1)
    network.encoder, network.decoder = torch.nn.Identity(), torch.nn.Identity()
    made, _ = network(values)
    (received,) = torch.autograd.grad(made.square().sum(), values)
    (expected,) = torch.autograd.grad((soft * 2 * made.detach()).sum(), values)
    torch.testing.assert_close(received, expected)


def test_deepcods_encoder_is_the_papers() -> None:
    network, x = network_for("deepcod", "image", ratio=0.05)
    assert [tuple(weight.shape[1:]) for weight in network.encoder.parameters()] == [(3, 4, 4)]
    assert network.channels == int((0.05 * 4 * 768 - HEADER_BYTES) * 8 / 3 / 16)
    network.eval()
    assert float(torch.linalg.matrix_norm(network.encoder.weight.detach().flatten(1), 2)) == pytest.approx(1, rel=2e-2)
    values = network.encoder(x)
    nearest = (values.unsqueeze(-1) - network.centres).abs().argmin(-1)
    assert torch.equal(network.symbols(x), nearest.to(torch.uint8))
    assert len(network.centres) == 8


def test_deepcod_begins_at_the_principal_components_unless_it_stays_as_drawn() -> None:
    network, x = network_for("deepcod", "image")
    drawn = NETWORKS["deepcod"](network.shaping, tiny_training.settings())
    before = drawn.encoder.weight.detach().clone()
    drawn.prepare(x, encoder=False)
    torch.testing.assert_close(drawn.encoder.weight.detach(), before, rtol=1e-2, atol=1e-2)
    patches = x.unfold(2, 4, 4).unfold(3, 4, 4).permute(0, 2, 3, 1, 4, 5).reshape(-1, 48)
    patches = patches - patches.mean(0)

    def kept(weight: torch.Tensor) -> float:
        rows, _ = torch.linalg.qr(weight.detach().flatten(1).T)
        return float((patches @ rows).square().sum() / patches.square().sum())

    best = float(torch.linalg.svdvals(patches)[: network.channels].square().sum() / patches.square().sum())
    assert kept(network.encoder.weight) == pytest.approx(best, rel=1e-3)
    assert kept(before) < best


def test_deepcods_first_symbols_are_all_in_use() -> None:
    """No channel follows the strongest component alone, and the shared centres lie in the middle of each channel."""
    network, _ = network_for("deepcod", "image", ratio=0.08)
    torch.manual_seed(3)
    coarse = torch.nn.functional.interpolate(torch.rand(200, 3, 2, 2), scale_factor=8)  # most of the energy
    x = 0.6 + 0.3 * coarse + 0.1 * torch.rand(200, 3, 16, 16)
    network.prepare(x, encoder=True)
    values = network.encoder(x).detach().transpose(0, 1).flatten(1)
    means = values.mean(1)
    torch.testing.assert_close(means, means.mean().expand_as(means), rtol=1e-2, atol=1e-2)
    deviations = torch.linalg.svdvals(values - means.unsqueeze(1))
    patches = x.unfold(2, 4, 4).unfold(3, 4, 4).permute(0, 2, 3, 1, 4, 5).reshape(-1, 48)
    own = torch.linalg.svdvals(patches - patches.mean(0))[: len(deviations)]
    torch.testing.assert_close(deviations / deviations[0], (own / own[0]).sqrt(), rtol=1e-2, atol=1e-2)


def test_orthogonality_is_added_when_asked_for() -> None:
    network, x = network_for("deepcod", "small", orthogonality=0.5)
    network.eval()
    rows = network.encoder.weight.detach().flatten(1)
    gram = rows @ rows.T if len(rows) <= rows.shape[1] else rows.T @ rows
    expected = 0.5 * float((gram - torch.eye(len(gram))).square().sum())
    assert float(network(x)[1].detach()) == pytest.approx(expected, rel=1e-2, abs=1e-4)


def test_pruning_leaves_half_of_each_layer_and_keeps_it_pruned() -> None:
    network, x = network_for("autoencoder", "image")
    optimiser = torch.optim.Adam(network.parameters(), lr=0.01)
    network.begin_epoch(0, 4)
    network.begin_epoch(2, 4)
    for _ in range(3):
        optimiser.zero_grad()
        network(x)[0].square().mean().backward()
        optimiser.step()
    network.finish()
    for layer in (network.encoder[0], network.encoder[2], network.decoder.layers[0], network.decoder.layers[2]):
        assert float((layer.weight == 0).float().mean()) == pytest.approx(0.5, abs=0.05)


def test_the_entropic_prior_is_a_distribution_over_integers() -> None:
    network, _ = network_for("entropic", "small")
    integers = torch.arange(-200.0, 201).reshape(1, 1, -1, 1).expand(1, network.channels, -1, 1)
    mass = 2 ** -network.prior(integers).detach()
    assert float(mass.sum(2).min()) == pytest.approx(1, abs=2e-3)


@pytest.mark.parametrize("ratio", [0.05, 0.1, 0.2])
def test_the_entropic_codec_begins_near_the_rate_that_it_is_for(ratio: float) -> None:
    network, x = network_for("entropic", "sequence", ratio=ratio)
    values = network.encoder(torch.nn.functional.pad(x, (0, 2)))
    bits = float(network.prior(torch.round(values)).sum().detach()) / len(x)
    assert bits == pytest.approx(network.wanted_bits, rel=0.4)
    assert network.channels <= 32  # as wide as the layer before, beyond which nothing is gained


def test_a_rate_beyond_what_symbols_can_carry_is_taken() -> None:
    layout = Layout(shape=(1, 256, 16, 16), order=(0, 1, 2, 3), places=(16, 16))
    network = NETWORKS["entropic"](
        Shaping(layout=layout, stride=4, ratio=0.99, bounds=None), tiny_training.settings("entropic")
    ).eval()
    assert network.wanted_bits / np.prod(network.symbols_shape) > 1024  # 2 to that is no number
    x = torch.rand(2, 256, 16, 16)
    network.prepare(x, encoder=True)
    assert bool(network(x)[0].isfinite().all())


def test_the_entropic_second_stage_leaves_encoder_and_prior() -> None:
    network, x = network_for("entropic", "small")
    assert not network.begin_epoch(0, 5)
    assert network.begin_epoch(3, 5)
    made, penalty = network(x)
    made.square().mean().backward()
    assert float(penalty) == 0
    assert all(weight.grad is None for weight in network.encoder.parameters())
    assert all(weight.grad is not None for weight in network.decoder.parameters())


@pytest.mark.parametrize(
    ("strength", "share", "pushed"),
    [(1e6, 0.0, 1 + 1.0), (1e6, 0.5, 1 + 30**0.5), (1e6, 1.0, 1 + 30.0), (1e-3, 0.5, 1 + 1e-6 / 10)],
)
def test_the_gradient_through_the_model_is_clipped_less_and_less(strength: float, share: float, pushed: float) -> None:
    wanted = torch.zeros(4, 6)

    class Tail(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
            return (strength * x, x)

    weight = torch.ones(4, 6, requires_grad=True)
    tail: Any = Tail()
    backward(1 * weight, wanted, torch.zeros(()), variance=1.0, tail=tail, teacher=[wanted], share=share)
    assert weight.grad is not None
    own = 10 * 2 / 24 * 24**0.5
    assert float(weight.grad.norm()) == pytest.approx(pushed * own, rel=1e-5)


@pytest.fixture(scope="module")
def codecs(tmp_path_factory: pytest.TempPathFactory) -> dict[LearnedKind, TrainedFiles]:
    root = tmp_path_factory.mktemp("home")
    return {kind: tiny_training.trained(root, "conv1", codec=kind) for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_codec_decodes_its_own_bytes_and_tells_the_truth(
    codecs: dict[LearnedKind, TrainedFiles], kind: LearnedKind
) -> None:
    files = load_trained(codecs[kind].folder)
    manifest = files.manifest
    session = TrainedCodecSession(files, OnnxRuntime(), threads=1)
    again = TrainedCodecSession(load_trained(files.folder), OnnxRuntime(), threads=1)
    held = tiny_training.examples("conv1", "validation").at.float().numpy()
    payloads = [session.encode(one) for one in held]
    assert manifest.payload_bytes == tuple(map(len, payloads))
    assert max(manifest.payload_bytes) <= session.max_bytes
    for one, payload in zip(held[:4], payloads, strict=False):
        decoded = again.decode(payload)
        assert decoded.shape == one.shape
        assert decoded.dtype == np.float32
        np.testing.assert_array_equal(session.decode(payload), decoded)
    assert (manifest.coding == "packed") == (kind != "entropic")
    assert manifest.text == f"{kind}@{manifest.id}"
    assert 0 <= manifest.validation_errors <= 1  # type: ignore[operator]
    assert manifest.intact_errors == 0
    assert manifest.encoder.parameters > 0 < manifest.decoder.flops


def test_damaged_files_are_named(codecs: dict[LearnedKind, TrainedFiles], tmp_path: Path) -> None:
    import shutil

    folder = tmp_path / "codecs" / "copy"
    shutil.copytree(codecs["deepcod"].folder, folder)
    (folder / DECODER).write_bytes(b"\0" + (folder / DECODER).read_bytes()[1:])
    with pytest.raises(OffloadError, match=r"decoder\.onnx is damaged"):
        load_trained(folder)
    (folder / DECODER).unlink()
    with pytest.raises(OffloadError, match=r"decoder\.onnx cannot be read"):
        load_trained(folder)
    (folder / MANIFEST).write_text("{")
    with pytest.raises(OffloadError, match="damaged"):
        load_trained(folder)
    assert find_trained(tmp_path / "codecs") == []


def test_a_codec_for_another_model_cut_or_shape_is_refused(codecs: dict[LearnedKind, TrainedFiles]) -> None:
    manifest = codecs["deepcod"].manifest
    check_fits(manifest, model_hash=manifest.model.hash, tensor=manifest.tensor)
    other = Tensor(name="other", shape=manifest.tensor.shape, dtype="float32")
    larger = Tensor(name=manifest.tensor.name, shape=(1, 6, 32, 32), dtype="float32")
    for words, model_hash, tensor in (
        ("was trained for net of content", "f" * 64, manifest.tensor),
        ("for the cut at conv1, not at other", manifest.model.hash, other),
        ("for 1x6x16x16 float32, conv1 is 1x6x32x32", manifest.model.hash, larger),
    ):
        with pytest.raises(OffloadError, match=words) as caught:
            check_fits(manifest, model_hash=model_hash, tensor=tensor)
        assert "offload codec train" in caught.value.hint


def test_codecs_are_found_by_name(codecs: dict[LearnedKind, TrainedFiles]) -> None:
    files = codecs["deepcod"]
    root = files.folder.parent
    assert len(find_trained(root)) == len(KINDS)
    assert len(find_trained(root, files.manifest.model.hash)) == len(KINDS)
    assert find_trained(root, "another") == []
    for name in (files.folder.name, files.manifest.text, files.manifest.id[:8], str(files.folder)):
        assert named_trained(root, name).manifest == files.manifest
    with pytest.raises(OffloadError, match="there is no codec nothing"):
        named_trained(root, "nothing")


def test_a_codec_with_a_damaged_manifest_is_not_called_missing(
    codecs: dict[LearnedKind, TrainedFiles], tmp_path: Path
) -> None:
    import shutil

    files = codecs["deepcod"]
    folder = tmp_path / files.folder.name
    shutil.copytree(files.folder, folder)
    (folder / MANIFEST).write_text("{")
    for name in (folder.name, files.manifest.text):
        with pytest.raises(OffloadError, match=r"manifest\.json is damaged"):
            named_trained(tmp_path, name)


def test_the_batch_may_stand_anywhere(tmp_path: Path) -> None:
    files = tiny_training.trained(tmp_path, "relu", name="speech", ratio=0.1)
    session = TrainedCodecSession(files, OnnxRuntime(), threads=1)
    held = tiny_training.examples("relu", "validation", "speech").at.float().numpy()
    assert session.decode(session.encode(held[0])).shape == held[0].shape == files.manifest.tensor.shape
    assert files.manifest.validation_errors is not None


def test_principal_components_of_large_patches_are_found_nearly() -> None:
    layout = Layout(shape=(1, 80, 8, 8), order=(0, 1, 2, 3), places=(8, 8))
    shaping = Shaping(layout=layout, stride=4, ratio=0.001, bounds=None)
    network = NETWORKS["deepcod"](shaping, tiny_training.settings())
    torch.manual_seed(1)
    x = torch.randn(40, 8, 8, 8).repeat_interleave(10, 1) + 0.01 * torch.randn(40, 80, 8, 8)
    network.prepare(x, encoder=True)
    rows = torch.linalg.qr(network.encoder.weight.detach().flatten(1).T)[0].T
    patches = x.unfold(2, 4, 4).unfold(3, 4, 4).permute(0, 2, 3, 1, 4, 5).reshape(-1, 1280)
    patches = patches - patches.mean(0)
    best = float(torch.linalg.svdvals(patches)[: len(rows)].square().sum())
    assert float((patches @ rows.T).square().sum()) > 0.95 * best


def test_tensors_too_large_to_compute_with_are_refused() -> None:
    encoder = torch.nn.Conv2d(3, 4, 2, 2, bias=False)
    with pytest.raises(OffloadError, match="values too large"):
        _principal(torch.full((8, 3, 4, 4), 1e38), encoder)

"""Training: what it reaches, going on after a stop, interrupts, ablations, and several processes."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from offload.artifacts.codec import EpochRecord, LearnedKind
from offload.codecs.trained import ENCODER, WEIGHTS, TrainedFiles, find_trained
from offload.errors import OffloadError
from offload.progress import NullProgress
from offload.training import trainer
from offload.training.checkpoints import Checkpoint, load_checkpoint, save_checkpoint
from offload.training.learned import checkpoint_folder, train_codec
from tests import tiny_training

ROOT = Path(__file__).parents[2]


class Told(NullProgress):
    """Remembers what it was told, and interrupts when the epochs of a training are over."""

    def __init__(self, *, interrupt_after: int | None = None) -> None:
        self.details: list[str] = []
        self.notes: list[str] = []
        self.after = interrupt_after

    def detail(self, words: str) -> None:
        self.details.append(words)

    def note(self, message: str) -> None:
        self.notes.append(message)

    def advance(self, steps: float = 1.0, *, total: float | None = None) -> None:
        if self.after is not None and len(self.details) >= self.after and steps == 1.0:
            self.after = None
            raise KeyboardInterrupt


def weights_of(files: TrainedFiles) -> bytes:
    return files.read(WEIGHTS)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, TrainedFiles, Told]:
    """A workspace with a codec trained to its end, and what was told meanwhile."""
    told, root = Told(), tmp_path_factory.mktemp("whole")
    return root, tiny_training.trained(root, "input", progress=told, epochs=6), told


def test_training_lowers_the_validation_loss_and_tells_of_it(whole: tuple[Path, TrainedFiles, Told]) -> None:
    root, files, told = whole
    epochs = files.manifest.training.epochs
    assert len(epochs) == 6
    assert epochs[-1].validation_loss < 0.8 * epochs[0].validation_loss
    assert epochs[files.manifest.training.best_epoch].validation_loss == min(one.validation_loss for one in epochs)
    assert "epoch 6: loss" in told.details[-1]
    assert "error rate" in told.details[-1]
    assert files.manifest.training.stopped == "done"
    assert not checkpoint_folder(tiny_training.job(root, "input", epochs=6)).exists()


@pytest.mark.slow
@pytest.mark.parametrize("codec", ["deepcod", "autoencoder", "entropic"])
def test_going_on_after_a_stop_ends_where_no_stop_would_have(tmp_path: Path, codec: Any) -> None:
    whole = tiny_training.trained(tmp_path / "whole", "conv1", codec=codec, epochs=3)
    for after in (1, 2):
        root = tmp_path / f"stopped {after}"
        stopped = tiny_training.trained(root, "conv1", codec=codec, epochs=3, progress=Told(interrupt_after=after))
        assert stopped.manifest.training.stopped == "interrupted"
        assert len(stopped.manifest.training.epochs) == after
        told = Told()
        resumed = tiny_training.trained(root, "conv1", codec=codec, epochs=3, resume=True, progress=told)
        assert told.notes == [f"epochs trained before: {after}"]
        assert weights_of(resumed) == weights_of(whole)
        losses = [[one.validation_loss for one in files.manifest.training.epochs] for files in (resumed, whole)]
        assert losses[0] == losses[1]


def test_an_interrupt_before_the_first_epoch_keeps_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        tiny_training.trained(tmp_path, "conv1", progress=Told(interrupt_after=0))
    assert find_trained(tmp_path / "codecs") == []


@pytest.mark.slow
def test_the_same_seed_gives_the_same_codec_and_another_another(tmp_path: Path) -> None:
    made = [
        tiny_training.trained(tmp_path / str(number), "conv1", epochs=1, seed=seed)
        for number, seed in enumerate((0, 0, 1))
    ]
    assert made[0].manifest.id == made[1].manifest.id != made[2].manifest.id
    again = tiny_training.trained(tmp_path / "0", "conv1", epochs=1, seed=0)
    assert again.folder == made[0].folder


@pytest.mark.slow
def test_nothing_to_go_on_from_is_said(tmp_path: Path) -> None:
    told = Told()
    tiny_training.trained(tmp_path, "conv1", epochs=1, resume=True, progress=told)
    assert told.notes == ["there is no checkpoint of this training: it begins anew"]


def test_a_checkpoint_of_other_options_or_a_damaged_one_is_refused(tmp_path: Path) -> None:
    tiny_training.trained(tmp_path, "conv1", epochs=3, progress=Told(interrupt_after=1))
    with pytest.raises(OffloadError, match="training with other options"):
        tiny_training.trained(tmp_path, "conv1", epochs=4, resume=True)
    folder = checkpoint_folder(tiny_training.job(tmp_path, "conv1", epochs=3))
    for path in folder.glob("*.safetensors"):
        path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(OffloadError, match="checkpoint is damaged"):
        tiny_training.trained(tmp_path, "conv1", epochs=3, resume=True)
    (folder / "checkpoint.json").write_text("[]")
    with pytest.raises(OffloadError, match="checkpoint is damaged"):
        load_checkpoint(folder, settings="")


@pytest.mark.slow
def test_a_random_encoder_stays_as_it_was_drawn(tmp_path: Path) -> None:
    one, three = (
        tiny_training.trained(tmp_path / str(epochs), "conv1", epochs=epochs, encoder_trained=False)
        for epochs in (1, 3)
    )
    from safetensors.torch import load

    first, last = (load(files.read(WEIGHTS)) for files in (one, three))
    torch.testing.assert_close(first["encoder.weight"], last["encoder.weight"], rtol=1e-2, atol=1e-3)
    assert not torch.equal(first["decoder.last.weight"], last["decoder.last.weight"])
    assert not one.manifest.training.encoder_trained


@pytest.mark.slow
def test_without_distillation_only_the_tensor_is_taught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    original = trainer.backward

    def backward(*arguments: Any, **options: Any) -> Any:
        seen.append(options["tail"])
        return original(*arguments, **options)

    monkeypatch.setattr(trainer, "backward", backward)
    files = tiny_training.trained(tmp_path, "conv1", epochs=1, distilled=False)
    assert set(seen) == {None}
    assert not files.manifest.training.distilled
    assert files.manifest.validation_errors is not None


@pytest.mark.slow
def test_training_stops_early_when_validation_does_not_get_better(tmp_path: Path) -> None:
    files = tiny_training.trained(tmp_path, "conv1", epochs=30, learning_rate=1e-12, patience=2)
    assert files.manifest.training.stopped == "early"
    assert len(files.manifest.training.epochs) < 30


@pytest.mark.slow
def test_the_best_epoch_is_one_of_the_codecs_final_form(tmp_path: Path) -> None:
    files = tiny_training.trained(tmp_path, "conv1", codec="autoencoder", epochs=4, learning_rate=1e-12)
    assert files.manifest.training.best_epoch >= 2
    from safetensors.torch import load

    held = sum(weight.numel() for name, weight in load(weights_of(files)).items() if name.startswith("encoder."))
    assert files.manifest.encoder.parameters == pytest.approx(0.5 * held, rel=0.05)


def test_a_manifest_holds_the_epochs_and_is_read_again(whole: tuple[Path, TrainedFiles, Told]) -> None:
    root, files, _ = whole
    (found,) = find_trained(root / "codecs")
    assert found.manifest == files.manifest
    assert all(isinstance(epoch, EpochRecord) for epoch in found.manifest.training.epochs)
    assert found.manifest.files.keys() == {"encoder.onnx", "decoder.onnx", "weights.safetensors"}
    assert found.manifest.layer == "input"
    assert sorted(path.name for path in files.folder.iterdir()) == sorted([*found.manifest.files, "manifest.json"])
    assert [path.name for path in (root / "codecs").iterdir()] == [files.folder.name]
    assert len(files.read(ENCODER)) < 20_000


def test_a_process_that_does_not_validate_writes_nothing(tmp_path: Path) -> None:
    from dataclasses import replace

    from offload.training.processes import Processes

    job = replace(tiny_training.job(tmp_path, "conv1", epochs=1), validation=None, processes=Processes(rank=1, count=1))
    assert train_codec(job, NullProgress()) is None
    assert not (tmp_path / "codecs").exists()


CHILD = """
import sys
from dataclasses import replace
from pathlib import Path

import torch

from offload.progress import NullProgress
from offload.training import examples, learned, trainer
from offload.training.examples import cut_examples
from offload.training.processes import joined
from tests import tiny_training

root = Path(sys.argv[1])
kept = {}
original = trainer.train


def train(network, training, progress):
    found = original(network, training, progress)
    kept.update(network.state_dict())
    kept["steps"] = torch.tensor(len(training.train))
    return found


learned.train = train
torch.set_num_threads(1)
with joined("cpu") as processes:
    job = tiny_training.job(root, "conv1", epochs=2, codec=sys.argv[2])
    data = tiny_training.Images("train")
    if sys.argv[3] == "streamed":
        examples.MOST_BYTES = 0
    share = cut_examples(job.model, [job.place.cut], data, labelled=False, device="cpu", progress=NullProgress(),
                         part=(processes.rank, processes.count))[job.place.tensor.name]
    assert isinstance(share, examples.StreamedExamples) == (sys.argv[3] == "streamed")
    validation = job.validation if processes.first else None
    files = learned.train_codec(
        replace(job, train=share, validation=validation, processes=processes), NullProgress()
    )
    assert (files is None) == (processes.rank > 0)
    torch.distributed.barrier()
torch.save(kept, root / f"{processes.rank}.pt")
"""


@pytest.mark.slow
@pytest.mark.parametrize(("codec", "kept"), [("deepcod", "stored"), ("entropic", "stored"), ("deepcod", "streamed")])
def test_two_processes_learn_the_same_weights(tmp_path: Path, codec: Any, kept: str) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    common = os.environ | {
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2", "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    children = [
        subprocess.Popen(
            [sys.executable, "-c", CHILD, str(tmp_path), codec, kept], cwd=ROOT, env=common | {"RANK": str(rank)}
        )
        for rank in range(2)
    ]
    assert [child.wait(timeout=150) for child in children] == [0, 0]
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2))
    assert int(first.pop("steps")) == int(second.pop("steps")) == tiny_training.TRAIN // 2
    (files,) = find_trained(tmp_path / "codecs")
    assert files.manifest.training.processes == 2
    network = tiny_training.trained(tmp_path / "alone", "conv1", epochs=2, codec=codec)
    assert network.manifest.id != files.manifest.id
    words = json.loads((files.folder / "manifest.json").read_text())
    assert words["training"]["examples"] == tiny_training.TRAIN
    learned_weights = {name for name in second if not name.endswith(("running_mean", "running_var", "_u", "_v"))}
    assert {name for name in second if "decoder" in name} & learned_weights
    for name in learned_weights & first.keys():
        torch.testing.assert_close(first[name], second[name], rtol=0, atol=0, msg=name)


@pytest.mark.parametrize("codec", ["deepcod", "autoencoder", "entropic"])
def test_a_training_that_diverges_is_told_in_a_line(tmp_path: Path, codec: LearnedKind) -> None:
    with pytest.raises(OffloadError, match="diverged") as told:
        tiny_training.trained(tmp_path, "conv1", codec=codec, learning_rate=1e20)
    assert told.value.hint == "train again with a lower --lr"


def test_a_checkpoint_that_cannot_be_written_is_told_and_the_old_one_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from safetensors import SafetensorError

    def checkpoint(epochs: int) -> Checkpoint:
        record = EpochRecord(loss=1.0, validation_loss=1.0, error_rate=None, took_s=1.0)
        weights = {"w": torch.zeros(2)}
        return Checkpoint(
            weights=weights, best=weights, moments={}, epochs=(record,) * epochs, best_epoch=0, settings="x"
        )

    def full(tensors: object, path: Path) -> None:
        path.write_bytes(b"half")
        raise SafetensorError("No space left on device")

    save_checkpoint(checkpoint(1), tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr("safetensors.torch.save_file", full)
        with pytest.raises(OffloadError, match=r"cannot write .*: No space left on device"):
            save_checkpoint(checkpoint(2), tmp_path)
    kept = load_checkpoint(tmp_path, settings="x")
    assert kept is not None
    assert len(kept.epochs) == 1
    assert len(list(tmp_path.iterdir())) == 2
    (tmp_path / "file").write_text("")
    with pytest.raises(OffloadError, match="cannot write"):
        save_checkpoint(checkpoint(1), tmp_path / "file" / "folder")

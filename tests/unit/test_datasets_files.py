"""The user's own data: folders, arrays, parquet files, code; and what is wrong with them, in one line each."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from offload.datasets.base import Dataset, Split
from offload.datasets.catalogue import load_dataset
from offload.datasets.splits import divided, undivided
from offload.errors import OffloadError
from offload.graph.model_graph import Tensor

IMAGE = Tensor(name="input", shape=(1, 3, 8, 12), dtype="float32")
GREY = Tensor(name="input", shape=(1, 1, 8, 12), dtype="float32")
VECTOR = Tensor(name="input", shape=(1, 5), dtype="float32")


def load(spec: object, tensor: Tensor = IMAGE, split: Split = "train", task: str | None = None) -> Dataset:
    return load_dataset(str(spec), tensor=tensor, split=split, task=task)  # type: ignore[arg-type]


def refusal(call: Callable[[], object]) -> OffloadError:
    with pytest.raises(OffloadError) as caught:
        call()
    assert caught.value.hint
    assert "\n" not in caught.value.message + caught.value.hint
    return caught.value


def picture(seed: int, *, size: tuple[int, int] = (8, 12), channels: int = 3) -> Image.Image:
    values = np.random.default_rng(seed).integers(0, 256, (*size, channels), np.uint8)
    return Image.fromarray(values[:, :, 0] if channels == 1 else values)


def folder_of(root: Path, classes: dict[str, int], *, seed: int = 0) -> Path:
    for name, count in classes.items():
        (root / name).mkdir(parents=True)
        for index in range(count):
            picture(seed := seed + 1).save(root / name / f"{index:03}.png")
    return root


def test_splits_are_disjoint_and_complete() -> None:
    whole = [undivided(range(57), split, name="x") for split in ("train", "validation", "test")]
    assert sorted(index for part in whole for index in part) == list(range(57))
    assert [len(part) for part in whole] == [47, 5, 5]
    parts = {"train": range(40), "test": range(100, 110)}
    train, validation = divided(parts, "train", name="x"), divided(parts, "validation", name="x")
    assert sorted(train + validation) == list(range(40))
    assert len(validation) == 4
    assert divided(parts, "test", name="x") == list(range(100, 110))
    # A validation part that has to serve as the test must not be chosen by.
    only = {"train": range(40), "validation": range(200, 210)}
    assert divided(only, "test", name="x") == list(range(200, 210))
    assert set(divided(only, "validation", name="x")) < set(range(40))
    three = only | {"test": range(300, 310)}
    assert divided(three, "validation", name="x") == list(range(200, 210))
    assert divided(three, "train", name="x") == list(range(40))
    for call in (
        lambda: undivided(range(9), "train", name="x"),
        lambda: divided({"test": range(9)}, "train", name="x"),
        lambda: divided({"train": range(9)}, "test", name="x"),
        lambda: divided({"train": range(9)}, "validation", name="x"),
    ):
        refusal(call)


def test_image_folder(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "photos", {"cat": 12, "dog": 13})
    splits = {split: load(folder, split=split) for split in ("train", "validation", "test")}
    assert {split: len(each) for split, each in splits.items()} == {"train": 21, "validation": 2, "test": 2}
    train = splits["train"]
    assert train.task == "classification"
    assert set(train.labels(range(21))) == {0, 1}
    images = {picture(seed).tobytes(): int(seed > 12) for seed in range(1, 26)}
    for index in range(21):
        pixels = np.round(train.inputs([index])[0] * 255).astype(np.uint8).transpose(1, 2, 0)
        assert images[pixels.tobytes()] == train.labels([index])[0]
    assert train.inputs([1, 0]).shape == (2, 3, 8, 12)
    assert load(folder, GREY).inputs([0]).shape == (1, 1, 8, 12)
    wide = Tensor(name="input", shape=(1, 3, 4, 6), dtype="float32")
    assert load(folder, wide).inputs([0]).shape == (1, 3, 4, 6)
    normal = load(f"{folder}?mean=0.485,0.456,0.406&std=0.229,0.224,0.225").inputs([4])
    expected = (train.inputs([4]) - np.array([[0.485], [0.456], [0.406]])[:, :, None]) / np.array(
        [[0.229], [0.224], [0.225]]
    )[:, :, None]
    np.testing.assert_allclose(normal, expected, rtol=1e-4, atol=1e-5)


def test_image_folder_that_is_divided(tmp_path: Path) -> None:
    folder_of(tmp_path / "Train", {"a": 10, "b": 10})
    folder_of(tmp_path / "val", {"b": 5, "a": 4}, seed=50)
    assert len(load(tmp_path, split="train")) == 18
    assert len(load(tmp_path, split="validation")) == 2
    assert sorted(load(tmp_path, split="test").labels(range(9))) == [0] * 4 + [1] * 5


def test_image_folder_refuses(tmp_path: Path) -> None:
    assert "no images" in refusal(lambda: load(tmp_path)).message
    one = folder_of(tmp_path / "one", {"cat": 20})
    assert "all examples are of one class" in refusal(lambda: load(one)).message
    two = folder_of(tmp_path / "two", {"cat": 10, "dog": 10})
    flat = tmp_path / "flat"
    flat.mkdir()
    for index in range(20):
        picture(index).save(flat / f"{index}.png")
    assert "0.png: not in a class folder" in refusal(lambda: load(flat)).message
    assert len(load(flat, task="detection")) == 16  # the intact model's answers are compared with
    assert "not for ctc" in refusal(lambda: load(two, task="ctc")).message
    damaged = folder_of(tmp_path / "damaged", {"cat": 10, "dog": 10})
    for path in damaged.rglob("*.png"):
        path.write_bytes(path.read_bytes()[:50])
    assert "not an image" in refusal(lambda: load(damaged)).message
    assert "holds images, the model's input is 1×5 float32" in refusal(lambda: load(one, VECTOR)).message
    assert "there are no data 'nowhere'" in refusal(lambda: load("nowhere")).message
    assert "there are no data ''" in refusal(lambda: load("")).message
    batched = Tensor(name="input", shape=(2, 3, 8, 12), dtype="float32")
    assert "the batch is 2" in refusal(lambda: load(one, batched)).message


@pytest.mark.parametrize("query", ["mean=x", "men=0.5", "mean=0.1,0.2", "std=0", "std=nan", "mean", "std=-1,1,1"])
def test_a_scale_that_cannot_be_read(query: str) -> None:
    assert "how pixels are scaled" in refusal(lambda: load(f"digits-in-clutter?{query}")).message


def test_a_scale_for_another_number_of_channels(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, {"cat": 10, "dog": 10})
    assert "scaled for 3 channels" in refusal(lambda: load(f"{folder}?mean=0.1,0.2,0.3", GREY)).message


@pytest.mark.parametrize("layout", ["hwc", "chw", "hw"])
def test_npz_images(tmp_path: Path, layout: str) -> None:
    images = np.random.default_rng(0).integers(0, 256, (30, 8, 12, 1 if layout == "hw" else 3), np.uint8)
    held = {"hwc": images, "chw": images.transpose(0, 3, 1, 2), "hw": images[..., 0]}[layout]
    path = tmp_path / "data.npz"
    np.savez(path, x=held, y=np.arange(30) % 3)
    dataset = load(path, GREY if layout == "hw" else IMAGE)
    known = {image.tobytes(): index % 3 for index, image in enumerate(images)}
    for index in range(len(dataset)):
        pixels = np.round(dataset.inputs([index])[0] * 255).astype(np.uint8).transpose(1, 2, 0)
        assert known[pixels.tobytes()] == dataset.labels([index])[0]


def test_npz_vectors_in_splits(tmp_path: Path) -> None:
    path = tmp_path / "data.npz"
    x = np.random.default_rng(0).normal(size=(60, 5))
    y = np.arange(60) % 4
    np.savez(path, x_train=x[:40], y_train=y[:40], x_test=x[40:], y_test=y[40:])
    test = load(path, VECTOR, "test")
    assert test.pixels is None
    np.testing.assert_array_equal(test.inputs([3, 1]), x[[43, 41]].astype(np.float32))
    assert test.inputs([0]).dtype == np.float32
    assert list(test.labels([3, 1])) == [3, 1]
    assert len(load(path, VECTOR, "validation")) == 4


def test_npz_sequences(tmp_path: Path) -> None:
    path = tmp_path / "data.npz"
    np.savez(path, x=np.zeros((20, 5), np.float32), y=np.array([[1, 2, -1], [3, -1, -1]] * 10))
    dataset = load(path, VECTOR)
    assert dataset.task == "ctc"
    assert set(dataset.labels(range(len(dataset)))) == {(1, 2), (3,)}


def test_npz_refuses(tmp_path: Path) -> None:
    path = tmp_path / "data.npz"
    assert "no such file" in refusal(lambda: load(path)).message
    path.write_bytes(b"PK not really")
    assert "not an .npz file" in refusal(lambda: load(path)).message
    path.write_bytes(b"")
    assert "not an .npz file" in refusal(lambda: load(path)).message
    np.savez(path, x=np.array([object()]), y=np.zeros(1))
    assert "not an .npz file of plain arrays" in refusal(lambda: load(path)).message
    np.savez(path, x=np.zeros((20, 5)))
    assert "no array 'y' among x" in refusal(lambda: load(path, VECTOR)).message
    np.savez(path, x=np.zeros((20, 5)), y=np.zeros(19, int))
    assert "20 inputs and 19 answers" in refusal(lambda: load(path, VECTOR)).message
    np.savez(path, x=np.zeros((20, 6)), y=np.arange(20))
    assert "examples are 6 float64, the model's input is 5 float32" in refusal(lambda: load(path, VECTOR)).message
    np.savez(path, x=np.zeros((20, 5), complex), y=np.arange(20))
    assert "examples are complex128" in refusal(lambda: load(path, VECTOR)).message
    np.savez(path, x=np.zeros((20, 5)), y=np.zeros(20, int))
    assert "one class (0)" in refusal(lambda: load(path, VECTOR)).message
    for untrue in (np.nan, np.inf, 1e300):
        np.savez(path, x=np.full((20, 5), untrue), y=np.arange(20) % 2)
        assert "hold NaN or infinity as float32" in refusal(lambda: load(path, VECTOR)).message
    np.savez(path, x=np.zeros((20, 8, 12, 1), np.uint8), y=np.arange(20) % 2)
    assert "has 1 channels, the model's input has 3" in refusal(lambda: load(path)).message


def parquet_file(path: Path, count: int, *, seed: int = 0, damaged: bool = False) -> None:
    arrow = pytest.importorskip("pyarrow")
    import pyarrow.parquet as parquet

    rows = []
    for index in range(count):
        buffer = io.BytesIO()
        picture(seed + index, size=(9, 10)).save(buffer, "PNG")
        rows.append({"bytes": buffer.getvalue()[: 40 if damaged else None], "path": f"{index}.png"})
    path.parent.mkdir(parents=True, exist_ok=True)
    table = arrow.table({"image": rows, "label": [index % 2 for index in range(count)]})
    parquet.write_table(table, path, row_group_size=4)


def test_parquet_folder(tmp_path: Path) -> None:
    parquet_file(tmp_path / "data" / "train-00000-of-00002.parquet", 10)
    parquet_file(tmp_path / "data" / "train-00001-of-00002.parquet", 10, seed=100)
    parquet_file(tmp_path / "data" / "test-00000-of-00001.parquet", 6, seed=200)
    size = Tensor(name="input", shape=(1, 3, 9, 10), dtype="float32")
    test = load(tmp_path, size, "test")
    for index in range(6):
        pixels = np.round(test.inputs([index])[0] * 255).astype(np.uint8).transpose(1, 2, 0)
        np.testing.assert_array_equal(pixels, np.asarray(picture(200 + index, size=(9, 10))))
    assert list(test.labels(range(6))) == [0, 1] * 3
    assert len(load(tmp_path, split="train")) == 18
    assert load(tmp_path, split="validation").inputs([0, 1]).shape == (2, 3, 8, 12)


def test_parquet_folder_undivided(tmp_path: Path) -> None:
    parquet_file(tmp_path / "all.parquet", 30)
    assert [len(load(tmp_path, split=split)) for split in ("train", "validation", "test")] == [24, 3, 3]


def test_parquet_folder_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arrow = pytest.importorskip("pyarrow")
    import pyarrow.parquet as parquet

    path = tmp_path / "all.parquet"
    parquet_file(path, 30, damaged=True)
    assert "all.parquet, row " in refusal(lambda: load(tmp_path)).message
    path.write_bytes(b"PAR1 not really")
    assert "not a parquet file" in refusal(lambda: load(tmp_path)).message
    parquet.write_table(arrow.table({"text": ["a"]}), path)
    assert "the columns text hold no images" in refusal(lambda: load(tmp_path)).message
    parquet.write_table(arrow.table({"image": [{"bytes": b"", "path": "a"}] * 20, "name": ["a"] * 20}), path)
    assert "hold no integer called label" in refusal(lambda: load(tmp_path)).message
    parquet.write_table(arrow.table({"image": [{"bytes": b"", "path": "a"}] * 20, "label": [0, 1] * 10}), path)
    assert "no image bytes" in refusal(lambda: load(tmp_path)).message
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    error = refusal(lambda: load(tmp_path))
    assert "pyarrow is needed" in error.message
    assert "offload[parquet]" in error.hint


CODE = """
import numpy as np

def arrays():
    print("noise")
    return np.arange(100, dtype=np.float32).reshape(20, 5), np.arange(20) % 2

def parts(split):
    offset = {"train": 0, "validation": 1000, "test": 2000}[split]
    return offset + np.zeros((4, 5)), [0, 1, 0, 1]

class Pairs:
    def __len__(self):
        return 20
    def __getitem__(self, index):
        import torch
        if index >= 20:
            raise IndexError
        return torch.full((5,), float(index)), torch.tensor(index % 2)

class Ragged(Pairs):
    def __getitem__(self, index):
        return np.zeros(5 + index % 2), 0

def nothing():
    return None

def broken():
    raise RuntimeError("no disk")

value = 3
"""


def test_users_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "users_data_for_test.py").write_text(CODE)
    monkeypatch.chdir(tmp_path)
    name = "users_data_for_test"
    arrays = load(f"{name}:arrays", VECTOR)
    assert len(arrays) == 16
    for index in range(16):
        assert arrays.inputs([index])[0, 0] % 10 == 5 * arrays.labels([index])[0]
    assert load(f"{name}:parts", VECTOR, "validation").inputs([0])[0, 0] == 1000
    assert len(load(f"{name}:parts", VECTOR, "train")) == 4
    pairs = load(f"{name}:Pairs", VECTOR, "test")
    assert [pairs.inputs([index])[0, 0] % 2 for index in range(2)] == list(pairs.labels([0, 1]))
    assert capsys.readouterr().out == ""
    for attribute, told in (
        ("nothing", "returned NoneType, neither arrays"),
        ("broken", "the code raised RuntimeError: no disk"),
        ("value", "value is not callable"),
        ("absent", "has no 'absent'"),
        ("Ragged", "examples differ in shape"),
    ):
        assert told in refusal(lambda attribute=attribute: load(f"{name}:{attribute}", VECTOR)).message
    assert "there is no module 'no_such_module'" in refusal(lambda: load("no_such_module:f", VECTOR)).message

"""What the user types wrong is one line, a hint and the right exit code."""

from __future__ import annotations

import errno
from typing import Any

import pytest
import torch

from offload import __version__, api
from offload.errors import OffloadError
from tests.cli.conftest import Run

VERBS = ("profile", "link", "plan", "serve", "verify", "models")


def test_help_names_every_verb(child: Run) -> None:
    outcome = child("--help")
    assert outcome.code == 0
    for verb in VERBS:
        assert f"\n  {verb} " in outcome.out


@pytest.mark.parametrize("verb", VERBS)
def test_each_verb_has_help(run: Run, verb: str) -> None:
    outcome = run(verb, "--help")
    assert outcome.code == 0
    assert outcome.out.startswith(f"Usage: offload {verb}")
    assert outcome.err == ""


def test_version(child: Run) -> None:
    assert child("--version").out == f"offload {__version__}\n"


def test_no_arguments_is_a_usage_error_that_shows_the_help(run: Run) -> None:
    outcome = run()
    assert outcome.code == 2
    assert outcome.out == ""
    assert "Usage: offload" in outcome.err


@pytest.mark.parametrize(
    ("arguments", "error", "hint"),
    [
        (["frobnicate"], "No such command 'frobnicate'", "offload --help"),
        (["pln", "--bw", "1mbps"], "Did you mean 'plan'", "offload --help"),
        (["profile"], "Missing argument 'MODEL'", "offload profile --help"),
        (["profile", "resnet18", "--treads", "1"], "No such option: --treads", "offload profile --help"),
        (["profile", "resnet18", "--threads", "many"], "--threads", "offload profile --help"),
        (["profile", "resnet18", "--threads", "0"], "--threads", "offload profile --help"),
        (["profile", "resnet18", "--format", "xml"], "--format", "offload profile --help"),
        (["import", "a.json", "b", "--tool", "foo"], "value for '--tool': 'foo' is not", "offload import --help"),
        (["plan", "--bw", "450"], "'450' has no unit", "450mbps"),
        (["plan", "--bw", "fast"], "'fast' is not a rate", "450mbps"),
        (["plan", "--bw", "0mbps"], "above zero", None),
        (["plan", "--bw", "1mbps", "--rtt", "4"], "'4' has no unit", "20ms"),
        (["plan", "--bw", "1mbps", "--down", "4"], "'4' has no unit", "4mbps"),
        (["plan", "--bw", "1mbps", "--target", "speed"], "--target", "offload plan --help"),
        (["plan", "--bw", "1mbps", "--max-latency", "450mbps"], "'mbps' is not a unit of duration", "ms"),
        (["plan", "--bw", "1mbps", "--max-latency", "50"], "'50' has no unit", "20ms"),
        (["plan", "--bw", "1mbps", "--max-latency", "-5ms"], "must be finite and", "20ms"),
        (["plan", "--bw", "1mbps", "--max-latency", "nan"], "'nan' is not a duration", "20ms"),
        (["plan", "--bw", "1mbps", "--max-energy", "0.2W"], "'W' is not a unit of energy", "mJ"),
        (["plan", "--bw", "1mbps", "--max-energy", "0.2"], "'0.2' has no unit", "0.2J"),
        (["plan", "--bw", "1mbps", "--device-memory", "512"], "'512' has no unit", "5MiB"),
        (["plan", "--bw", "1mbps", "--server-memory", "5s"], "'s' is not a unit of size", "MiB"),
        (["plan", "--bw", "1mbps", "--battery", "3000mAh"], "no energy without a voltage", "3000mAh,3.85V"),
        (["plan", "--bw", "1mbps", "--battery", "3000,3.85V"], "'3000' has no unit", "3000mAh,3.85V"),
        (["plan", "--bw", "1mbps", "--server-load", "0.5"], "--server-load", "offload plan --help"),
        (["plan", "--bw", "1mbps", "--device-load", "nan"], "--device-load", "offload plan --help"),
        (["plan", "--bw", "1mbps", "--pin", "conv1"], "not a layer and a side", "conv1=device"),
        (["plan", "--bw", "1mbps", "--pin", "conv1=phone"], "not a layer and a side", "conv1=device"),
        (["plan", "--bw", "1mbps", "--pin", "a=device", "--pin", "a=server"], "cannot run on both sides", "leave one"),
        (["plan", "--bw", "1mbps", "--emulate-slowdown", "0.5"], "--emulate-slowdown", "offload plan --help"),
        (["plan", "--bw", "1mbps", "--emulate-slowdown", "nan"], "--emulate-slowdown", "offload plan --help"),
        (["profile", "resnet18", "--power", "3.2"], "'3.2' has no unit", "3.2W"),
        (["profile", "resnet18", "--precision", "2"], "'2' has no unit", "2%"),
        (["profile", "resnet18", "--max-time", "0s"], "--max-time", "60s"),
        (["profile", "resnet18", "--input", "data"], "'data' is not an input shape", "1x3x224x224"),
        (["profile", "resnet18", "--input", "a=1", "--input", "a=2"], "same input twice", None),
        (["profile", "resnet18", "--json", "--format", "csv"], "exclude each other", None),
        (["serve", "--max-upload", "5"], "'5' has no unit", "5MiB"),
        (["serve", "--port", "99999"], "--port", "offload serve --help"),
        (["verify", "--requests", "0"], "--requests", "offload verify --help"),
        (["verify", "--duration", "30"], "'30' has no unit", "20ms"),
        (["profile", "mnist", "--runtime", "onnxruntime", "--channels-last"], "--channels-last needs the torch", "out"),
        (["profile", "mnist", "--runtime", "onnxruntime", "--dtype", "fp16"], "--dtype fp16 needs the torch", "out"),
        (["profile", "net.onnx", "--runtime", "torch"], "needs a torch module", "module:callable"),
        (["profile", "mnist", "--on", "localhost:1", "--compile"], "--compile does not go with --on", "leave"),
        (["profile", "mnist", "--on", "localhost:1", "--device", "cuda"], "--device cuda does not go", "leave"),
        (["profile", "mnist", "--device", "tpu"], "--device tpu", "cpu, cuda"),
        (["profile", "mnist", "--dtype", "int8"], "'int8' is not one of", "offload profile --help"),
        (["profile", "senna_pos", "--channels-last"], "senna_pos has no convolution of images", "leave it out"),
        (["verify", "--duration", "-3s"], "must be finite and", "20ms"),
        (["verify", "--alternatives", "-1"], "--alternatives", "offload verify --help"),
        (["verify", "--tolerance", "10"], "'10' has no unit", "2%"),
    ],
)
def test_usage_errors_end_with_2(run: Run, arguments: list[str], error: str, hint: str | None) -> None:
    outcome = run(*arguments)
    assert outcome.code == 2
    assert outcome.out == ""
    assert error in outcome.error
    assert "Traceback" not in outcome.err
    if hint:
        assert hint in outcome.hint


@pytest.mark.parametrize(
    ("arguments", "error", "hint"),
    [
        (["profile", "resnet19"], "no model 'resnet19'", "resnet18"),
        (["profile", "resnet18", "--device", "cuda"], "--device cuda", "cpu"),
        (["profile", "resnet18", "--weights", "none.safetensors"], "none.safetensors is not there", None),
        (["profile", "none.onnx"], "none.onnx", None),
        (["plan", "--bw", "1mbps", "--profile", "none.json"], "none.json is not there", None),
        (["verify", "none.json"], "none.json is not there", None),
        (["serve", "--tls-cert", "none.pem"], "none.pem is not there", None),
    ],
)
def test_what_the_user_can_mend_ends_with_1(run: Run, arguments: list[str], error: str, hint: str | None) -> None:
    outcome = run(*arguments)
    assert outcome.code == 1
    assert outcome.out == ""
    assert error in outcome.error
    assert (hint or "") in outcome.hint


def fail_with(error: BaseException) -> Any:
    def verb(*_: object, **__: object) -> None:
        raise error

    return verb


def test_a_bug_says_where_to_report_it_and_shows_the_traceback_only_when_asked(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "profile", fail_with(KeyError("layer7")))
    outcome = run("profile", "resnet18")
    assert outcome.code == 3
    assert f"bug in offload {__version__}: KeyError: 'layer7'" in outcome.error
    assert "issue tracker" in outcome.hint
    assert "Traceback" not in outcome.err
    verbose = run("profile", "resnet18", "-v")
    assert verbose.code == 3
    assert "Traceback" in verbose.err
    assert "the traceback above" in verbose.hint


def test_interrupting_ends_with_130(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "profile", fail_with(KeyboardInterrupt()))
    outcome = run("profile", "resnet18")
    assert outcome.code == 130
    assert outcome.error == "interrupted"


def test_a_full_disk_and_too_little_memory_are_errors_not_bugs(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "profile", fail_with(OSError(errno.ENOSPC, "No space left on device", "/tmp/x")))
    outcome = run("profile", "resnet18")
    assert outcome.code == 1
    assert "No space left on device while writing /tmp/x" in outcome.error
    monkeypatch.setattr(api, "profile", fail_with(MemoryError()))
    assert run("profile", "resnet18").code == 1
    with pytest.raises(RuntimeError) as refused:
        torch.empty(2**47)  # more than can be addressed
    for error in (refused.value, torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.\nGPU 0 …")):
        monkeypatch.setattr(api, "train_codecs", fail_with(error))
        outcome = run("codec", "train", "digits_resnet", "--at", "input", "--data", "digits-in-clutter")
        assert (outcome.code, outcome.error) == (1, "out of memory")
        assert "--batch" in outcome.hint


def test_errors_of_many_lines_become_one(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "profile", fail_with(OffloadError("one\n  two", hint="three\nfour")))
    outcome = run("profile", "resnet18")
    assert outcome.error == "one two"
    assert outcome.hint == "three four"

"""The README and the demo say what the program does: help blocks are compared, commands are parsed."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import typer

from offload.cli.main import app
from tests.cli.conftest import ROOT, Run

README = (ROOT / "README.md").read_text(encoding="utf-8")
HELP_BLOCKS = re.findall(r"```text\n\$ offload ([\w -]+) --help\n(.*?)```", README, flags=re.DOTALL)
COMMANDS = [
    line.removeprefix("$ ")
    for block in re.findall(r"```console\n(.*?)```", README, flags=re.DOTALL)
    for line in block.splitlines()
    if line.startswith("$ ")
]
DEMO = [
    line.removeprefix("run ").partition("||")[0].strip()
    for line in (ROOT / "examples" / "demo.sh").read_text(encoding="utf-8").replace("\\\n", "").splitlines()
    if line.startswith("run offload")
]


def parse(command: str) -> None:
    """Parse a command of ours as far as options and their types, without running it."""
    program, *arguments = shlex.split(command)
    assert program == "offload"
    verb: Any = typer.main.get_command(app)
    name, context = "offload", None
    with ExitStack() as stack:
        while True:
            context = stack.enter_context(verb.make_context(name, arguments, parent=context))
            if not hasattr(verb, "commands"):
                break
            group = verb
            name, verb, arguments = group.resolve_command(context, [*context._protected_args, *context.args])
            assert name in group.commands


def test_every_verb_has_its_help_block() -> None:
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    verbs = {f"{name} {verb}" for name, command in commands.items() for verb in getattr(command, "commands", ())}
    assert {verb for verb, _ in HELP_BLOCKS} == verbs | set(commands)


@pytest.mark.parametrize(("verb", "text"), HELP_BLOCKS, ids=[verb for verb, _ in HELP_BLOCKS])
def test_help_blocks_are_the_real_help(run: Run, verb: str, text: str) -> None:
    assert run(*verb.split(), "--help").out == text


@pytest.mark.parametrize("command", [*COMMANDS, *DEMO])
def test_commands_parse(home: None, command: str) -> None:
    if command.startswith("make "):
        target = command.removeprefix("make ")
        assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    else:
        parse(command)


def test_options_that_are_not_there_do_not_parse(home: None) -> None:
    for command in ("offload codec train m --at input --data d --layers 3", "offload codec prune m"):
        with pytest.raises(typer.TyperException, match="No such"):
            parse(command)


def test_every_verb_has_an_example() -> None:
    assert {command.split()[1] for command in COMMANDS if command.startswith("offload")} >= {
        "profile",
        "plan",
        "serve",
        "verify",
    }


def test_environment_variables_are_listed() -> None:
    source = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "offload").rglob("*.py"))
    for name in set(re.findall(r"\bOFFLOAD_[A-Z]+\b", source)):
        assert f"`{name}`" in README


def test_the_python_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OFFLOAD_HOME", raising=False)
    (example,) = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    quick, changes = re.subn(r"threads=1\)", "threads=1, max_time_s=1.0, precision=0.5)", example)
    assert changes == 1
    done = subprocess.run([sys.executable, "-c", quick], capture_output=True, text=True, timeout=170, check=False)
    assert done.returncode == 0, done.stderr
    assert "run" in done.stdout
    assert "Estimate(value=" in done.stdout

"""Help and the list of networks are quick: they import none of the heavy packages."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = (
    "torch",
    "onnx",
    "onnxruntime",
    "sklearn",
    "pandas",
    "grpc",
    "tritonclient",
    "numpy",
    "scipy",
    "rich",
    "matplotlib",
)


@pytest.mark.parametrize(
    ("arguments", "heavy"),
    [
        (["--help"], (*HEAVY, "pydantic")),
        (["--version"], (*HEAVY, "pydantic")),
        *(([verb, "--help"], HEAVY) for verb in ("profile", "plan", "serve", "verify", "simulate", "models")),
        (["models"], ("torch", "onnx", "onnxruntime", "sklearn", "pandas", "grpc", "tritonclient", "scipy")),
    ],
)
def test_nothing_heavy_is_imported(arguments: list[str], heavy: tuple[str, ...]) -> None:
    program = (
        "import sys\n"
        "from offload.cli.main import main\n"
        f"code = main({arguments!r})\n"
        f"print([name for name in {heavy!r} if name in sys.modules], code, file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.stderr.splitlines()[-1] == "[] 0"


def test_an_interrupt_while_modules_are_read_is_one_line() -> None:
    program = (
        "import sys\n"
        "from offload.__main__ import run\n"
        "class Press:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'offload.cli.main':\n"
        "            raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Press())\n"
        "sys.exit(run())\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "error: interrupted\n")

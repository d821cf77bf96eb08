"""`python -m offload` is the `offload` command."""

from __future__ import annotations

import sys


def run() -> int:
    """The `offload` command; returns its exit code, also when it is interrupted while its modules are still read."""
    try:
        from offload.cli.main import main
    except KeyboardInterrupt:
        print("error: interrupted", file=sys.stderr)
        return 130
    return main()


if __name__ == "__main__":
    sys.exit(run())

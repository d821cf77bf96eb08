"""The embedded server's process: `python -m offload.serving.embedded_main`, started by `EmbeddedServer`."""

from __future__ import annotations

import sys
import threading
from typing import Any

from offload.errors import OffloadError
from offload.progress import NullProgress
from offload.serving.child_process import answer, read_settings
from offload.serving.own_models import OwnModel
from offload.serving.server import ServeSettings, serve
from offload.serving.upload import UploadLimits


def main() -> int:
    """Serve with the settings from stdin until SIGTERM or until the parent is gone."""
    stop = threading.Event()
    fields: dict[str, Any] = read_settings(on_parent_exit=stop.set)
    settings = ServeSettings(
        **{
            **fields,
            "limits": UploadLimits(**fields["limits"]),
            "models": tuple(OwnModel.of_json(one) for one in fields["models"]),
        }
    )
    try:
        serve(settings, NullProgress(), lambda port: answer(port=port), stop=stop)
    except OffloadError as error:
        answer(error=error.message, hint=error.hint)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""What the C allocator does with large buffers: one setting for every process that runs models or moves tensors."""

from __future__ import annotations

import contextlib
import ctypes
from functools import cache

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_KEPT_BYTES = 256 * 1024**2
_MAPPED_BYTES = 32 * 1024**2
"""The most glibc accepts."""


@cache
def keep_large_buffers() -> None:
    """Let glibc keep freed memory (up to 256 MiB) instead of handing it back to the kernel after every use.

    Messages are copied several times on their way, and some operators take a scratch buffer in every run; fresh pages
    each time cost more than the work: half of a 600 kB call's overhead (`benchmarks/overhead.py`), half again a
    local response normalisation's time, and glibc's own threshold moves while a process runs, so that profiles made
    first and later would differ. On other C libraries this does nothing.
    """
    with contextlib.suppress(OSError, AttributeError, TypeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_THRESHOLD, _MAPPED_BYTES)
        mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)

"""Arrays inside JSON: little-endian numbers, compressed, in base64. Nothing in them is ever executed."""

from __future__ import annotations

import base64
import zlib
from typing import TYPE_CHECKING, Any, Literal, overload

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MOST_NUMBERS = 20_000_000
"""A file that claims more is refused before it takes the memory."""
Numbers = Literal["<f4", "<i4"]


def pack(values: NDArray[np.generic], numbers: Numbers) -> str:
    """An array's numbers as text; its shape is not kept."""
    import numpy as np

    data = np.ascontiguousarray(values, dtype=numbers).tobytes()
    return base64.b64encode(zlib.compress(data, 6)).decode("ascii")


@overload
def unpack(
    text: str, numbers: Literal["<f4"], *, columns: int = 1, most: int = MOST_NUMBERS
) -> NDArray[np.float32]: ...
@overload
def unpack(text: str, numbers: Literal["<i4"], *, columns: int = 1, most: int = MOST_NUMBERS) -> NDArray[np.int32]: ...
def unpack(text: str, numbers: Numbers, *, columns: int = 1, most: int = MOST_NUMBERS) -> NDArray[Any]:
    """What `pack` was given: shape (rows, columns), or (rows,) for one column.

    Raises:
        ValueError: the text is not that, holds numbers that are none, or more than `most`.
    """
    import numpy as np

    try:
        unpacking = zlib.decompressobj()
        data = unpacking.decompress(base64.b64decode(text, validate=True), 4 * most)
    except (ValueError, zlib.error) as error:
        raise ValueError("an array in it is damaged") from error
    if unpacking.unconsumed_tail or not unpacking.eof:
        raise ValueError("an array in it is damaged or too large")
    if len(data) % (4 * columns):
        raise ValueError("an array in it has a number of entries that cannot be")
    values = np.frombuffer(data, dtype=numbers)
    if not np.isfinite(values).all():
        raise ValueError("an array in it holds numbers that are none")
    return values if columns == 1 else values.reshape(-1, columns)

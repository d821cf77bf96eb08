"""Torch, on the CPU or a CUDA GPU: runs the ATen calls of a program or of one side of a cut."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from offload.artifacts.profile import RuntimeIdentity
from offload.errors import OffloadError
from offload.graph.model_graph import Tensor
from offload.models.segments import Segment, TorchSegment
from offload.models.torch_program import segment_module
from offload.runtimes.allocator import keep_large_buffers

if TYPE_CHECKING:
    import torch

    from offload.runtimes.base import Array


@dataclass(frozen=True, kw_only=True)
class TorchRuntime:
    """Runs torch programs, in the precision they were loaded in."""

    device: str = "cpu"
    """`cpu`, `cuda` (the first GPU) or `cuda:N`."""
    channels_last: bool = False
    """Keep images with their channels innermost."""
    compiled: bool = False
    """Compile each segment as a whole by torch.compile."""

    @property
    def name(self) -> str:
        """See `Runtime.name`."""
        return "torch"

    def identity(self, *, threads: int) -> RuntimeIdentity:
        """See `Runtime.identity`; the device need not be here."""
        import torch

        return RuntimeIdentity(
            name=self.name,
            version=torch.__version__,
            device="cuda:0" if self.device == "cuda" else self.device,
            threads=threads,
            channels_last=self.channels_last,
            compiled=self.compiled,
        )

    def load(self, segment: Segment, *, threads: int) -> TorchSession:
        """A session for a torch segment on `threads` threads; see `Runtime.load`."""
        return TorchSession(self, segment, threads=threads)


class TorchSession:
    """A torch segment on its device.

    Args:
        runtime: Where and how to run it.
        segment: What to run.
        threads: Threads of one operator on the CPU.

    Raises:
        OffloadError: the segment is not torch's, the device is not there or full, or there is no compiler.
    """

    def __init__(self, runtime: TorchRuntime, segment: Segment, *, threads: int) -> None:
        import torch

        if not isinstance(segment, TorchSegment):
            raise OffloadError("torch runs torch programs, not ONNX models", hint="use --runtime onnxruntime")
        keep_large_buffers()
        tensors = segment.program.graph.tensor_by_name
        self.inputs: Mapping[str, Tensor] = {name: tensors[name] for name in segment.inputs}
        self.outputs: Mapping[str, Tensor] = {name: tensors[name] for name in segment.outputs}
        self._border = Border(runtime)
        self._threads = threads
        with torch_errors("load"), torch_settings(threads):
            module = segment_module(segment, device=self._border.device, convert=self._border.placed)
            self._module: Any = module
            if runtime.compiled:
                self._module = torch.compile(module, fullgraph=True, dynamic=False)
                self._module(*(self._border.zeros(tensor) for tensor in self.inputs.values()))  # compiles

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Outputs by name; see `Session.run`."""
        check_feeds(feeds, self.inputs)
        with torch_errors("run"), torch_settings(self._threads):
            entered = [self._border.entering(feeds[name]) for name in self.inputs]
            taken = {tensor.untyped_storage().data_ptr() for tensor in entered}
            answers = {}
            for name, value in zip(self.outputs, self._module(*entered), strict=True):
                views_input = value.untyped_storage().data_ptr() in taken  # the caller's own memory
                answers[name] = self._border.leaving(value.clone() if views_input else value)
            return answers

    def repeat(self, feeds: Mapping[str, Array], times: int) -> None:
        """See `Session.repeat`; the inputs stay on the device, which is waited for once."""
        import torch

        check_feeds(feeds, self.inputs)
        with torch_errors("run"), torch_settings(self._threads):
            values = [self._border.entering(feeds[name]) for name in self.inputs]
            for _ in range(times):
                self._module(*values)
            if self._border.device.type == "cuda":
                torch.cuda.synchronize(self._border.device)


class Border:
    """Brings NumPy arrays to a device in its memory format, and back."""

    def __init__(self, runtime: TorchRuntime) -> None:
        import torch

        self.device = torch_device(runtime.device)
        self._channels_last = runtime.channels_last
        if self.device.type == "cuda":  # a convolution of 10-bit mantissas is another precision than fp32
            torch.backends.cudnn.allow_tf32 = False

    def placed(self, tensor: torch.Tensor) -> torch.Tensor:
        """A tensor on the device; four dimensions, an image's or a kernel's, in the memory format asked for."""
        import torch

        if self._channels_last and tensor.dim() == 4:
            return tensor.to(self.device, memory_format=torch.channels_last)
        return tensor.to(self.device)

    def entering(self, array: Array) -> torch.Tensor:
        """An array on the device."""
        import numpy as np
        import torch

        array = np.ascontiguousarray(array).reshape(array.shape)
        if array.dtype.name == "bfloat16":  # which torch does not take from NumPy
            return self.placed(_from_numpy(array.view(np.int16)).view(torch.bfloat16))
        return self.placed(_from_numpy(array))

    def leaving(self, tensor: torch.Tensor) -> Array:
        """A tensor as an array with its dimensions in order; waits for the device."""
        import torch

        tensor = tensor.cpu().contiguous()
        if tensor.dtype is torch.bfloat16:
            import ml_dtypes

            array: Array = tensor.view(torch.int16).numpy().view(ml_dtypes.bfloat16)
            return array
        return tensor.numpy()

    def zeros(self, tensor: Tensor) -> torch.Tensor:
        """A value of a tensor's shape and type, on the device."""
        import torch

        return self.placed(torch.zeros(tensor.shape, dtype=getattr(torch, tensor.dtype)))


def torch_device(name: str) -> torch.device:
    """The device of that name.

    Raises:
        OffloadError: there is none.
    """
    import torch

    if name == "cpu":
        return torch.device("cpu")
    if torch.version.cuda is None:
        raise OffloadError(f"--device {name}: the installed torch was built without CUDA", hint="install one with CUDA")
    if not torch.cuda.is_available():
        raise OffloadError(
            f"--device {name}: this machine has no NVIDIA GPU, or its driver does not answer", hint="use --device cpu"
        )
    device = torch.device(name if ":" in name else "cuda:0")
    if device.index >= torch.cuda.device_count():
        last = torch.cuda.device_count() - 1
        raise OffloadError(f"--device {name}: this machine's last GPU is cuda:{last}", hint=f"use --device cuda:{last}")
    return device


def check_feeds(feeds: Mapping[str, Array], inputs: Mapping[str, Tensor]) -> None:
    """Compare what is fed with what is wanted.

    Raises:
        OffloadError: an input is missing or unknown, or has the wrong shape or dtype.
    """
    for name in (*feeds, *inputs):
        if (name in feeds) != (name in inputs):
            problem = "is not one of the model's" if name in feeds else "is missing"
            raise OffloadError(f"input {name!r} {problem}", hint="the inputs are " + ", ".join(map(repr, inputs)))
    for name, wanted in inputs.items():
        given = feeds[name]
        if given.shape != wanted.shape or given.dtype.name != wanted.dtype:
            raise OffloadError(
                f"input {name!r} is {given.dtype.name} {list(given.shape)}, not {wanted.dtype} {list(wanted.shape)}",
                hint="give it the shape and type of the model's graph",
            )


@contextmanager
def torch_settings(threads: int) -> Iterator[None]:
    """What every torch run of this project has in common: no gradients, and so many threads.

    Torch keeps the number of threads for the whole process, so whoever runs says it again.
    """
    import torch

    if torch.get_num_threads() != threads:
        torch.set_num_threads(threads)
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextmanager
def torch_errors(doing: str) -> Iterator[None]:
    """One line for whatever torch raises.

    Raises:
        OffloadError: something was raised.
    """
    import torch

    try:
        yield
    except OffloadError:
        raise
    except Exception as error:  # compilers and kernels raise all kinds
        full = isinstance(error, torch.OutOfMemoryError | MemoryError)
        if full or "not enough memory" in str(error) or "can't allocate memory" in str(error):
            raise OffloadError(
                f"torch cannot {doing} the model: the device is out of memory",
                hint="use a smaller --batch or --dtype fp16, or stop what else runs on the device",
            ) from error
        raise OffloadError(f"torch cannot {doing} the model: {_reason(error)}", hint=_hint(error)) from error


def _reason(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def _hint(error: Exception) -> str:
    if type(error).__module__.startswith(("torch._inductor", "torch._dynamo")):
        return "torch.compile needs a C++ compiler, and Triton on a GPU: install them, or leave out --compile"
    return "run again with -v for the traceback"


def _from_numpy(array: Array) -> torch.Tensor:
    import torch

    if not array.flags.writeable:  # as tensors from the network are; torch warns, and nothing here writes
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.from_numpy(array)
    return torch.from_numpy(array)

"""A CUDA device on a machine without a GPU: its tensors say that they are on ``cuda:0``, and the CPU computes them.

What PyTorch has for this does not carry a training: under ``FakeTensorMode`` on a build for CUDA, backward asks the
driver for a context, a generator of the wrong device is taken without a word, and M2m's shapes, which depend on drawn
numbers, are refused. Tensors of a subclass that hold numbers do: those of the CPU stay as they are, those of the device
hold another of the CPU, and every operation passes through the two modes here. An error, as on a GPU, is

- an operation on tensors of both devices, or one that has no kernel for CUDA (where PyTorch was built for it);
- a draw on the device, with the CPU's generator or with the device's own, whose numbers no CPU repeats.

Noted, for a test to look at, is

- where the host waits for the device: a number or a shape that depends on the device's, a blocking copy either way
  (what ``torch.cuda.set_sync_debug_mode`` knows on a GPU), and a copy to it that is not ``non_blocking`` in fact, since
  it is of more than ``STAGED`` bytes that are not pinned (CUDA's "API synchronization behavior": the driver may wait
  for the stream before it stages them);
- a convolution of a batch that is not laid out ``channels_last``;
- each operation that computes in bfloat16. Which of them CUDA has in that type is not in PyTorch's dispatch table.

For autograd the tensors are on ``meta``, since PyTorch asks the driver for the stream of every CUDA tensor that it
differentiates; so ``torch.autocast`` is done here, by its documented lists.
"""

from __future__ import annotations

import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import torch
from torch._C._functorch import get_unwrapped, is_batchedtensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_leaves, tree_map_only

DEVICE = torch.device("cuda", 0)
MEMORY = 80 * 2**30
STAGED = 64 * 2**10  # bytes that the driver takes at once
HELD, FREE = 3 * 2**30, 70 * 2**30  # what the device says of its memory: reserved by torch, free of all
AT_ONCE = ("conv1d", "conv2d", "conv3d", "conv_transpose2d", "linear", "matmul", "mm", "mv", "bmm", "addmm", "baddbmm",
           "addmv", "prelu", "einsum", "__matmul__", "__rmatmul__", "scaled_dot_product_attention")  # fmt: skip
WIDE = ("softmax", "log_softmax", "cross_entropy", "nll_loss", "mse_loss", "l1_loss", "norm", "normalize", "layer_norm",
        "group_norm", "pow", "__pow__", "__rpow__", "exp", "log", "log1p", "log2", "log10", "expm1", "rsqrt",
        "reciprocal", "sum", "prod", "cumsum", "cumprod", "renorm", "cosine_similarity", "cdist", "dist", "softplus",
        "acos", "asin", "tan", "cosh", "sinh")  # fmt: skip


class OnGPU(torch.Tensor):
    """A tensor of the device; ``host`` has its numbers."""

    host: torch.Tensor

    @staticmethod
    def __new__(cls, host: torch.Tensor) -> OnGPU:
        made = torch.Tensor._make_wrapper_subclass(
            cls, host.shape, strides=host.stride(), storage_offset=host.storage_offset(), dtype=host.dtype,
            device=torch.device("meta"),
        )  # fmt: skip
        made.host = host
        return made

    device = property(lambda self: DEVICE)  # type: ignore[assignment]
    is_cuda = property(lambda self: True)  # type: ignore[assignment]
    is_meta = property(lambda self: False)  # type: ignore[assignment]
    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        raise RuntimeError(f"{func}: a tensor of the simulated GPU is used after it is gone")

    def __repr__(self, *_: Any, **__: Any) -> str:  # type: ignore[override]
        return f"OnGPU({self.host!r})"

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self.host.__reduce_ex__(protocol)


class SimulatedGPU(TorchDispatchMode):
    """What the device has done since it was made."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: Counter[str] = Counter()  # by the place that waited
        self.other_layouts: Counter[str] = Counter()
        self.in_bfloat16: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
        here = [tensor for tensor in tensors if isinstance(tensor, OnGPU)]
        asked = kwargs.get("device")
        stays = asked.type != "cpu" if asked is not None else bool(here)
        if not here and not stays:
            return func(*args, **kwargs)
        if asked is not None:
            kwargs = {**kwargs, "device": torch.device("cpu")}
        if not self._copies(func, args, kwargs, here, stays):
            self._check(func, args, kwargs, tensors, here)
        out = func(*_hosts(args), **_hosts(kwargs))
        if not stays:
            return out
        mine = {id(tensor.host): tensor for tensor in here}
        done = tree_map_only(torch.Tensor, lambda t: mine[id(t)] if id(t) in mine else OnGPU(t), out)
        self._note(func, here, done)
        return done

    def _copies(self, func: Any, args: Any, kwargs: Any, here: list[OnGPU], stays: bool) -> bool:
        """Whether this is a copy between the devices, or may be one; a blocking one is noted."""
        if func is torch.ops.aten._to_copy.default:
            crosses = bool(here) != stays
            blocks = not (stays and kwargs.get("non_blocking") and _is_taken_at_once(args[0]))
        elif func is torch.ops.aten.copy_.default:
            crosses = isinstance(args[0], OnGPU) != isinstance(args[1], OnGPU)
            asked = kwargs.get("non_blocking") or args[2:] == (True,)
            blocks = not (isinstance(args[0], OnGPU) and asked and _is_taken_at_once(args[1]))
        elif func is torch.ops.aten._foreach_copy_.default:
            crosses = blocks = len(here) < len(args[0]) + len(args[1])
        else:
            return False
        if crosses and blocks:
            self.waits[_place()] += 1
        return True

    def _check(self, func: Any, args: Any, kwargs: Any, tensors: list[torch.Tensor], here: list[OnGPU]) -> None:
        """RuntimeError where CUDA would refuse; a wait for the device is noted."""
        aten, tags = torch.ops.aten, func.tags
        indices = [index for index in args[1] if index is not None] if func in INDEXED else []
        for tensor in tensors:
            foreign = not isinstance(tensor, OnGPU)
            if foreign and any(tensor is index for index in indices):
                self.waits[_place()] += 1  # CUDA sends an index of the CPU's after the tensor, and waits
            elif foreign and (tensor.dim() or not (torch.Tag.pointwise in tags or func in INDEXED)):
                raise RuntimeError(f"Expected all tensors to be on the same device: {func} has some on cuda:0 and cpu")
        if not _has_kernel(func.name()):
            raise NotImplementedError(f"{func} has no kernel for CUDA")
        generators = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Generator)]
        if generators:
            raise RuntimeError(f"Expected a 'cuda' device type for generator but found 'cpu': {func}")
        if torch.Tag.nondeterministic_seeded in tags:
            raise RuntimeError(f"{func} draws on the device, which no CPU repeats")
        masked = any(index.dtype in (torch.bool, torch.uint8) for index in indices)
        if func in INDEXED:
            waits = masked and not (func is not aten.index.Tensor and not args[2].dim())
        else:
            waits = bool({torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape} & set(tags)) and bool(here)
        if waits:
            self.waits[_place()] += 1

    def _note(self, func: Any, here: list[OnGPU], done: Any) -> None:
        made = [leaf for leaf in tree_leaves(done) if isinstance(leaf, OnGPU)]
        if torch.bfloat16 in {tensor.dtype for tensor in [*here, *made]}:
            self.in_bfloat16.add(func.overloadpacket.__name__)
        convolved = [tensor for tensor in here if tensor.dim() == 4] if func in CONVOLUTIONS else []
        if not all(tensor.is_contiguous(memory_format=torch.channels_last) for tensor in convolved):
            self.other_layouts[_place()] += 1


INDEXED = [torch.ops.aten.index.Tensor, torch.ops.aten.index_put.default, torch.ops.aten.index_put_.default,
           torch.ops.aten._unsafe_index.Tensor, torch.ops.aten._index_put_impl_.default]  # fmt: skip
CONVOLUTIONS = [torch.ops.aten.convolution.default, torch.ops.aten.convolution_backward.default]


class _Calls(TorchFunctionMode):
    """What PyTorch would ask the driver before an operation is dispatched, and autocast."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", "")
        if args and isinstance(args[0], OnGPU):
            if name == "tolist":
                return args[0].cpu().tolist()
            if func == torch.Tensor.data.__get__:  # type: ignore[attr-defined]
                return args[0].detach()
            if func == torch.Tensor.data.__set__:  # type: ignore[attr-defined]
                args[0].host = args[1].host  # PyTorch makes the shape and the rest the other's
        args, kwargs = tuple(map(_indexed, args)), {word: _indexed(value) for word, value in (kwargs or {}).items()}
        if "device" in kwargs and str(kwargs["device"]) == "meta":  # a program's own: autograd's do not pass here
            with _disable_current_modes():
                return func(*args, **kwargs)
        if torch.is_autocast_enabled("cuda"):
            wanted = torch.bfloat16 if name in AT_ONCE else torch.float32 if name in WIDE else None
            args, kwargs = (tree_map_only(torch.Tensor, lambda t: _cast(t, wanted), given) for given in (args, kwargs))
        return func(*args, **kwargs)


def _indexed(device: Any) -> Any:
    if isinstance(device, str):
        return DEVICE if device == "cuda" else device
    return DEVICE if isinstance(device, torch.device) and device.type == "cuda" else device


def _cast(tensor: torch.Tensor, wanted: torch.dtype | None) -> torch.Tensor:
    low = tensor.dtype in (torch.float32, torch.bfloat16) and wanted is not None
    return tensor.to(wanted) if low and _is_here(tensor) else tensor


def _is_here(tensor: torch.Tensor) -> bool:
    """Whether it is of the device; under ``torch.vmap`` a tensor stands for those of all."""
    while is_batchedtensor(tensor):
        tensor = get_unwrapped(tensor)
    return isinstance(tensor, OnGPU)


def _is_taken_at_once(tensor: torch.Tensor) -> bool:
    """Whether a copy to the device needs no wait for it."""
    return getattr(tensor, "pinned", False) or tensor.numel() * tensor.element_size() <= STAGED


def _pinned(tensor: torch.Tensor) -> torch.Tensor:
    copy = tensor.clone()
    copy.pinned = True  # type: ignore[attr-defined]
    return copy


def _hosts(given: Any) -> Any:
    return tree_map_only(OnGPU, lambda tensor: tensor.host, given)


@cache
def _has_kernel(name: str) -> bool:
    return not torch.backends.cuda.is_built() or torch._C._dispatch_has_computed_kernel_for_dispatch_key(name, "CUDA")


def _place() -> str:
    """The innermost function that is neither PyTorch's nor of this file, as ``loop.py:_epoch``."""
    frame = sys._getframe(1)
    ours = f"{Path(torch.__file__).parent}/", __file__, f"{Path(mock.__file__).parent}/", warnings.__file__
    while frame.f_back and frame.f_code.co_filename.startswith(ours):
        frame = frame.f_back
    return f"{Path(frame.f_code.co_filename).name}:{frame.f_code.co_name}"


@contextmanager
def simulated_gpu() -> Iterator[SimulatedGPU]:
    """Inside, there is a GPU.

    Yields:
        The device.
    """
    gpu = SimulatedGPU()
    about = SimpleNamespace(total_memory=MEMORY, name="simulated")
    says: dict[str, Callable[..., Any]] = {
        "_lazy_init": lambda: None,
        "is_available": lambda: True,
        "is_bf16_supported": lambda *_, **__: True,
        "get_device_properties": lambda *_: about,
        "get_device_name": lambda *_: about.name,
        "synchronize": lambda *_: None,
        "empty_cache": lambda: None,
        "reset_peak_memory_stats": lambda *_: None,
        "max_memory_reserved": lambda *_: HELD,
        "memory_reserved": lambda *_: HELD,
        "mem_get_info": lambda *_: (FREE, MEMORY),
    }
    overwrites = torch.__future__.get_overwrite_module_params_on_conversion()
    with ExitStack() as stack:
        for name, said in says.items():
            stack.enter_context(mock.patch.object(torch.cuda, name, said))
        stack.enter_context(mock.patch.object(torch.Tensor, "pin_memory", _pinned))
        torch.__future__.set_overwrite_module_params_on_conversion(True)
        torch._C._set_only_lift_cpu_tensors(True)
        stack.callback(torch.__future__.set_overwrite_module_params_on_conversion, overwrites)
        stack.callback(torch._C._set_only_lift_cpu_tensors, False)
        stack.enter_context(gpu)
        stack.enter_context(_Calls())
        yield gpu


@contextmanager
def real_gpu() -> Iterator[SimpleNamespace]:
    """Inside, where the host waits for the GPU of this machine is noted.

    Yields:
        The notes that a simulated GPU takes too.
    """
    waits: Counter[str] = Counter()

    def note(message: Any, *_: Any, **__: Any) -> None:
        if "synchronizing" in str(message):
            waits[_place()] += 1

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = note
        torch.cuda.set_sync_debug_mode("warn")
        try:
            yield SimpleNamespace(waits=waits, other_layouts=Counter(), in_bfloat16=set())
        finally:
            torch.cuda.set_sync_debug_mode("default")

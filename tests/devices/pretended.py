"""A device that is only pretended: values lie in main memory, rules are those of a GPU.

Tensors say that they lie on it, compute on the CPU what they would compute there, and refuse what CUDA refuses:
operands on two devices, a device's mask on a CPU tensor, a CPU generator for a device's numbers, attention over more
rows than a grid has. What makes the processor wait for the device is noted (`Pretended.waits`): values, masks as
indices, and copies in either direction that are not told not to wait. Nothing is said of kernels, speed and rounding.
Its name is `meta`: of the devices that a CPU build of torch knows, the one that autograd works on.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import CodeType, FrameType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing

from fada.diffusion import paths, windows
from fada.teacher.dual_unet import layers

DEVICE = torch.device("meta")
GRID = 65_535
"""Blocks in the second and third dimension of a CUDA grid."""
CACHED = (paths._alpha_bar_table, paths._angle_table, windows._bounds_tensor, layers.places)
"""Tables that the code keeps per device."""
aten = torch.ops.aten
INDEXING = (aten.index.Tensor, aten.index_put.default, aten.index_put_.default, aten._index_put_impl_.default)
COPYING = (aten._to_copy.default, aten.copy_.default)
WAITING = (aten._local_scalar_dense.default, aten.nonzero.default, aten.equal.default, aten.masked_select.default)
OURS = ("fada", "teacher", "student", "eval")


class DevicesMixed(RuntimeError):
    """What CUDA refuses, in its words as far as they matter."""


@dataclass
class Pretended:
    """What a block under `pretended_device` did.

    waits: (operation, file:function of ours) of each time that the processor had to wait for the device.
    """

    waits: list[tuple[str, str]] = field(default_factory=list)

    def note(self, what: str) -> None:
        """Note a wait, and whose it is."""
        own = [code for code in _running() if code.co_filename != __file__]
        ours = (each for each in own if any(f"/{part}/" in each.co_filename for part in OURS))
        code = next(ours, own[0])
        self.waits.append((what, f"{code.co_filename.rpartition('/')[2]}:{code.co_name}"))


def _running() -> Iterator[CodeType]:
    """The functions that are running, the innermost first; thousands of times asked, so no line is looked up."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        yield frame.f_code
        frame = frame.f_back


class There(Tensor):
    """A tensor that says that it lies on the device; `held` is where its values are."""

    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor) -> There:
        made = torch.Tensor._make_wrapper_subclass(
            cls,
            held.shape,
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            layout=held.layout,
            device=DEVICE,
        )
        made.held = held
        return made  # type: ignore[no-any-return]

    def __repr__(self, *, tensor_contents: Any = None) -> str:
        return f"There({self.held!r})"

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {}, None)


class _Operations(TorchDispatchMode):
    def __init__(self, told: Pretended) -> None:
        super().__init__()
        self.told = told

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {}, self.told)


class _Functions(TorchFunctionMode):
    """What torch decides by the device before any operation: kernels of attention, numbers from Python and to it."""

    def __init__(self, told: Pretended) -> None:
        super().__init__()
        self.told = told

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is F.scaled_dot_product_attention and isinstance(args[0], There):
            return _attention(*args, **kwargs)
        if func is Tensor.tolist and isinstance(args[0], There):
            self.told.note("a value of the device's")
            return args[0].held.tolist()
        if func is Tensor.new_tensor and isinstance(args[0], There):
            self.told.note("a copy to the device")
            return torch.tensor(args[1], dtype=args[0].dtype).to(DEVICE, non_blocking=True)
        if func in (torch.tensor, torch.as_tensor) and torch.device(kwargs.get("device") or "cpu") == DEVICE:
            return func(*args, **{**kwargs, "device": "cpu"}).to(DEVICE)
        return func(*args, **kwargs)


def _attention(query: Tensor, keys: Tensor, values: Tensor, attn_mask: Tensor | None = None) -> Tensor:
    rows = query.shape[:-2].numel()
    if rows > GRID:
        raise DevicesMixed(f"CUDA error: invalid configuration argument (attention over {rows} rows and heads)")
    scores = query @ keys.transpose(-1, -2) * query.shape[-1] ** -0.5
    if attn_mask is not None:
        # -inf where it is false: a mask of the other kind would be added.
        assert attn_mask.dtype == torch.bool
        scores = scores.masked_fill(attn_mask.logical_not(), -torch.inf)
    return scores.softmax(-1) @ values


def _run(func: Any, args: Any, kwargs: dict[str, Any], told: Pretended | None) -> Any:
    target = kwargs.get("device")
    is_aimed = target is not None and torch.device(target) == DEVICE
    tensors = list(_tensors((*args, *kwargs.values())))
    if not is_aimed and not any(isinstance(each, There) for each in tensors):
        return func(*args, **kwargs)
    _check(func, args, kwargs, tensors)
    is_leaving = (func is aten._to_copy.default and target is not None and not is_aimed) or (
        func is aten.copy_.default and not isinstance(args[0], There)
    )
    fault = "a copy from the device" if is_leaving else _wait(func, args, kwargs, is_aimed)
    if told is not None and fault is not None:
        told.note(fault)
    held = {name: _here(each) for name, each in kwargs.items()}
    if is_aimed:
        held["device"] = torch.device("cpu")
    made = func(*_here(args), **held)
    if is_leaving:
        return args[0] if func is aten.copy_.default else made
    wrapped = _there(made)
    if is_aimed or func is aten.copy_.default:
        return args[0] if func is aten.copy_.default else wrapped
    return return_and_correct_aliasing(func, args, kwargs, wrapped)


# torch's own trees would do the same, and take as long as the operations.
def _tensors(given: Any) -> Iterator[Tensor]:
    """All tensors of an operation's arguments."""
    for each in given:
        if isinstance(each, Tensor):
            yield each
        elif isinstance(each, (list, tuple)):
            yield from _tensors(each)


def _here(given: Any) -> Any:
    """The same with the values that tensors of the device hold."""
    if isinstance(given, There):
        return given.held
    return type(given)(map(_here, given)) if isinstance(given, (list, tuple)) else given


def _there(made: Any) -> Any:
    """The same with its tensors on the device."""
    if isinstance(made, Tensor):
        return There(made)
    return type(made)(map(_there, made)) if isinstance(made, (list, tuple)) else made


def _wait(func: Any, args: Any, kwargs: dict[str, Any], is_aimed: bool) -> str | None:
    """Why the processor would wait for the device in this operation; None if it need not."""
    if func in WAITING:
        return "a value of the device's"
    if func is aten._to_copy.default and is_aimed and not isinstance(args[0], There):
        return None if kwargs.get("non_blocking") else "a copy to the device"
    if func is aten.copy_.default and isinstance(args[0], There) and not isinstance(args[1], There):
        return None if (len(args) > 2 and args[2]) or not args[1].ndim else "a copy to the device"
    if func in INDEXING and isinstance(args[0], There):
        indices = [each for each in args[1] if each is not None]
        if any(each.dtype == torch.bool for each in indices):
            return "a mask as index"
        return "an index from the CPU" if any(not isinstance(each, There) for each in indices) else None
    return None


def _check(func: Any, args: Any, kwargs: dict[str, Any], tensors: list[Tensor]) -> None:
    generator = kwargs.get("generator")
    if generator is not None:
        raise DevicesMixed(f"{func}: Expected a 'cuda' device type for generator but found '{generator.device}'")
    if func in COPYING:
        return
    if func in INDEXING:
        where = [each for each in args[1] if each is not None]
        if not isinstance(args[0], There) and any(isinstance(each, There) for each in where):
            raise DevicesMixed("indices should be either on cpu or on the same device as the indexed tensor (cpu)")
        tensors = [args[0], *([args[2]] if len(args) > 2 else [])]
    # A number is taken from the CPU by whatever computes with a device's tensors.
    elsewhere = [each for each in tensors if not isinstance(each, There) and each.ndim]
    if elsewhere and len(elsewhere) < len(tensors):
        raise DevicesMixed(
            f"{func}: Expected all tensors to be on the same device, but found at least two devices, "
            f"cuda:0 and cpu (shape {tuple(elsewhere[0].shape)})"
        )


@contextmanager
def pretended_device() -> Iterator[Pretended]:
    """Within the block `DEVICE` can be computed on; yields what was done."""
    told = Pretended()
    _forget_tables()
    try:
        with _Operations(told), _Functions(told):
            yield told
    finally:
        _forget_tables()


def _forget_tables() -> None:
    for table in CACHED:
        table.cache_clear()


def values(tensor: Tensor) -> Tensor:
    """A tensor's values in main memory, wherever it says that it lies."""
    found = tensor.detach()
    return found.held if isinstance(found, There) else found


def gradients(module: nn.Module) -> dict[str, Tensor]:
    """Gradients by name, in main memory."""
    return {name: values(p.grad) for name, p in module.named_parameters() if p.grad is not None}

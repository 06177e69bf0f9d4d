"""Networks of diffusers as denoisers that can be distilled: a UNet or a transformer, with any number of conditions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from diffusers.models.attention import BasicTransformerBlock
from diffusers.models.embeddings import TimestepEmbedding
from torch import Tensor, nn

from fada.diffusion.paths import NoisePath
from fada.diffusion.shapes import Latents, PerSample
from fada.diffusion.transfer import moved
from fada.teacher.denoiser import Sites
from fada.teacher.rows import rows_of


class Condition(NamedTuple):
    """One condition of guidance: which keyword of the network's `forward` takes it, and what stands for its absence.

    keyword: a dot leads into a mapping: `added_cond_kwargs.text_embeds`.
    null: a number, or a tensor that fits a sample's condition (an empty prompt's embedding, the null class).
    """

    keyword: str
    null: float | int | Tensor


@dataclass(frozen=True)
class Rows:
    """Conditions of rows: keywords of the network's `forward`, what is done at its sites, what its time is told."""

    keywords: Mapping[str, Any]
    hooks: Sequence[Any] = ()
    time: Tensor | None = None


@dataclass(frozen=True)
class _Prepared:
    values: Mapping[str, Any]
    count: int = field(default=1)


class DiffusersDenoiser(nn.Module):
    """A network of diffusers as a `fada.family.Denoiser`.

    It is any whose `forward` takes latents first, `timestep` and `return_dict`: UNet2DConditionModel, UNet1DModel,
    Transformer2DModel, DiTTransformer2DModel, PixArtTransformer2DModel and their like. Of an answer with twice as many
    channels as the latents (learned variances) the first half counts.

    Args:
        network: learns in a student; its parameters' type is what it computes in.
        path: the noise path that it was trained on, and what it predicts; `NoisePath.from_config(scheduler.config)`.
        conditions: by name, in their order: branch k has the first k of them, and the null of
            the others. A sample's conditions, in the data, are a mapping with these names. Other names in it are
            keywords of `forward` that every branch has (attention masks, sizes).
        sites: names of modules behind which a fast student's CFG layers read the hidden states (rows, tokens, width).
            None are all of diffusers' `BasicTransformerBlock`; without any such, scales go to the time embedding.

    Raises:
        ValueError: two conditions share a keyword, or a site is no module of the network.
    """

    def __init__(
        self,
        network: nn.Module,
        path: NoisePath,
        conditions: Mapping[str, Condition | tuple[str, Any]] | None = None,
        sites: Sequence[str] | None = None,
    ) -> None:
        super().__init__()
        self.network, self.path = network, path
        self.conditions = {name: Condition(*each) for name, each in (conditions or {}).items()}
        keywords = [each.keyword for each in self.conditions.values()]
        if len(set(keywords)) < len(keywords):
            raise ValueError(f"conditions: each needs a keyword of its own, got {', '.join(keywords)}")
        self.branches = ("none", *self.conditions)
        modules = dict(network.named_modules())
        unknown = [name for name in sites or () if name not in modules]
        if unknown:
            raise ValueError(f"sites: {type(network).__name__} has no module named {unknown[0]!r}")
        blocks = (name for name, module in modules.items() if isinstance(module, BasicTransformerBlock))
        self.site_names = tuple(blocks if sites is None else sites)

    def inputs_of(self, conditions: Any) -> dict[str, Any]:
        """The conditions of a batch by name.

        Raises:
            ValueError: one is missing.
        """
        found = dict(conditions or {})
        missing = [name for name in self.conditions if name not in found]
        if missing:
            raise ValueError(
                f"conditions: a sample needs {', '.join(self.conditions)}; the data has no {missing[0]}"
                f" (got {', '.join(map(str, found)) or 'nothing'})"
            )
        return found

    def prepare(self, inputs: dict[str, Any]) -> _Prepared:
        """Conditions of the B samples; the network does with them what it does in every pass."""
        counts = {name: len(value) for name, value in inputs.items() if isinstance(value, Tensor)}
        return _Prepared(inputs, next(iter(counts.values()), 1))

    def expand(self, conditions: _Prepared, clips: Tensor, branches: Tensor) -> Rows:
        """Keywords of rows: of sample `clips[i]`, with the first `branches[i]` conditions; both (rows,), on the CPU."""
        keywords: dict[str, Any] = {}
        device = next(self.parameters()).device
        pick = rows_of(clips, conditions.count, device)
        for name, value in conditions.values.items():
            rows = pick(value) if isinstance(value, Tensor) else value
            if name in self.conditions:
                keyword, null = self.conditions[name]
                rows = _dropped(rows, null, branches > list(self.conditions).index(name), name)
            else:
                keyword = name
            _put(keywords, keyword, rows)
        return Rows(keywords)

    def evaluate(self, latents: Latents, t: PerSample, conditions: Rows) -> Latents:
        """Prediction of rows (rows, ...) at times (rows,) in [0, 1], one pass."""
        dtype = next(self.parameters()).dtype
        timestep = moved(self.path.network_timestep(t), latents.device)
        keywords = {name: _as_type(value, dtype) for name, value in conditions.keywords.items()}
        with self._hooked(conditions):
            answer: Tensor = self.network(latents.to(dtype), timestep=timestep, return_dict=False, **keywords)[0]
        return answer.chunk(2, dim=1)[0] if answer.shape[1] == 2 * latents.shape[1] else answer

    def sites(self) -> Sites:
        """Where guidance layers are hooked in: behind `site_names`, or at the time embedding.

        Raises:
            ValueError: the network has neither, or the width of a site is not known.
        """
        widths = tuple(self._width(name) for name in self.site_names)
        time = {module.linear_2.out_features for module in self._time_embeddings()}
        if not widths and len(time) != 1:
            raise ValueError(
                f"{type(self.network).__name__}: has no transformer blocks and no one width of its time embedding, so "
                "that guidance scales cannot go inside; name sites, or distil with kind='balanced'"
            )
        return Sites(widths, max(widths, default=0) or next(iter(time)), 8, next(iter(time), 0))

    def _width(self, name: str) -> int:
        module = self.network.get_submodule(name)
        for attribute in ("dim", "inner_dim", "hidden_size"):
            if isinstance(getattr(module, attribute, None), int):
                return int(getattr(module, attribute))
        raise ValueError(f"sites: {name}: {type(module).__name__} does not say its width (dim)")

    def _time_embeddings(self) -> list[Any]:
        return [module for module in self.network.modules() if isinstance(module, TimestepEmbedding)]

    @contextmanager
    def _hooked(self, conditions: Rows) -> Iterator[None]:
        """While the block runs, sites and time embedding add what guidance layers say."""
        with ExitStack() as hooked:
            names = self.site_names if conditions.hooks else ()
            for name, add in zip(names, conditions.hooks, strict=True):
                hooked.enter_context(_behind(self.network.get_submodule(name), add))
            if conditions.time is not None:
                told = conditions.time
                for module in self._time_embeddings():
                    hooked.enter_context(_behind(module, lambda found: found + told.to(found.dtype)))
            yield


@contextmanager
def _behind(module: nn.Module, change: Any) -> Iterator[None]:
    """While the block runs, what a module gives is changed."""
    handle = module.register_forward_hook(lambda _module, _inputs, given: change(given))
    try:
        yield
    finally:
        handle.remove()


def _dropped(rows: Tensor, null: Any, keeps: Tensor, name: str) -> Tensor:
    """Rows with the null where `keeps` (rows,) is False."""
    if bool(keeps.all()):
        return rows
    absent = moved(torch.as_tensor(null).to(rows.dtype), rows.device)
    try:
        absent = absent.expand(rows.shape)
    except RuntimeError:
        raise ValueError(
            f"conditions: {name}: its null {tuple(absent.shape)} does not fit a sample's {tuple(rows.shape[1:])}"
        ) from None
    return torch.where(moved(keeps, rows.device).view(-1, *[1] * (rows.ndim - 1)), rows, absent)


def _put(keywords: dict[str, Any], keyword: str, value: Any) -> None:
    name, _, inner = keyword.partition(".")
    if inner:
        _put(keywords.setdefault(name, {}), inner, value)
    else:
        keywords[name] = value


def _as_type(value: Any, dtype: torch.dtype) -> Any:
    """Floating-point tensors in the network's type."""
    if isinstance(value, Mapping):
        return {name: _as_type(each, dtype) for name, each in value.items()}
    return value.to(dtype) if isinstance(value, Tensor) and value.is_floating_point() else value

"""From a recipe to parameter groups, an optimizer and a schedule; and the paper's bound on filters."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase

import torch
from torch import nn
from torch.optim import lr_scheduler

from unitscope.errors import InvalidArgument
from unitscope.training.recipes import Recipe

PAPER_HALF_RANGE = 128.0  # the paper's pixels lie in about [-128, 128]

Scheduler = lr_scheduler.LRScheduler | lr_scheduler.ReduceLROnPlateau


def _fits(parameter: str, patterns: Iterable[str]) -> str | None:
    """The first pattern that fits a parameter's name, or that of a module that holds it."""
    parts = parameter.split(".")
    names = [".".join(parts[:length]) for length in range(1, len(parts) + 1)]
    return next((p for p in patterns if any(fnmatchcase(name, p) for name in names)), None)


def is_frozen(name: str, parameter: nn.Parameter, recipe: Recipe) -> bool:
    """Whether a parameter, with this name in its network, must stay as it is."""
    return not parameter.requires_grad or _fits(name, recipe.freeze) is not None


def parameter_groups(model: nn.Module, recipe: Recipe) -> list[dict[str, object]]:
    """What learns, and how fast: one group for each learning rate. What is frozen needs no gradient any more.

    Raises
    ------
    InvalidArgument
        a pattern of the recipe fits nothing, or nothing is left that learns.
    """
    groups: dict[str | None, list[nn.Parameter]] = {None: []}
    used: set[str] = set()
    for name, parameter in model.named_parameters():
        if frozen := _fits(name, recipe.freeze):
            used.add(frozen)
            parameter.requires_grad_(False)
            continue
        if rate := _fits(name, recipe.rates):
            used.add(rate)
        groups.setdefault(rate, []).append(parameter)
    if idle := [pattern for pattern in (*recipe.freeze, *recipe.rates) if pattern not in used]:
        raise InvalidArgument(
            reason=f"'{idle[0]}' fits no parameter of the network that another pattern leaves over."
        )
    learning = [
        {"params": parameters, "lr": recipe.rates[rate] if rate else recipe.learning_rate}
        for rate, parameters in groups.items()
        if parameters
    ]
    if not learning:
        raise InvalidArgument(reason="All parameters are frozen: nothing would learn.")
    return learning


def make_optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """The recipe's optimizer over ``parameter_groups``."""
    groups = parameter_groups(model, recipe)
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(groups, momentum=recipe.momentum, weight_decay=recipe.weight_decay)
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[recipe.optimizer]
    return kind(groups, weight_decay=recipe.weight_decay)


def make_schedule(optimizer: torch.optim.Optimizer, recipe: Recipe) -> Scheduler:
    """The recipe's schedule; it steps at the end of an epoch (``plateau``: with the validation accuracy)."""
    if recipe.schedule == "plateau":
        return lr_scheduler.ReduceLROnPlateau(
            optimizer, mode="max", factor=recipe.lr_gamma, patience=recipe.patience, threshold=0.0
        )
    if recipe.schedule == "cosine":
        return lr_scheduler.CosineAnnealingLR(optimizer, T_max=recipe.epochs)
    if recipe.schedule == "constant":
        return lr_scheduler.ConstantLR(optimizer, factor=1.0)
    return lr_scheduler.StepLR(optimizer, step_size=recipe.lr_step, gamma=recipe.lr_gamma)


def freeze_statistics(model: nn.Module, *, within_frozen: bool = False) -> None:
    """Put modules whose own parameters are all frozen into evaluation mode: batch norm keeps its statistics.

    A batch norm without parameters is frozen where the smallest module around it that has parameters is: that is
    ``within_frozen`` for the modules in ``model`` that have none.
    """
    everything, own = list(model.parameters()), list(model.parameters(recurse=False))
    frozen = _all_frozen(everything) if everything else within_frozen
    if own or any(True for _ in model.buffers(recurse=False)):
        model.training &= not (
            _all_frozen(own) if own else frozen
        )  # not eval(): it would reach what learns inside
    for child in model.children():
        freeze_statistics(child, within_frozen=frozen)


def _all_frozen(parameters: Iterable[torch.Tensor]) -> bool:
    return not any(parameter.requires_grad for parameter in parameters)


def filter_bounds(model: nn.Module, recipe: Recipe, std: tuple[float, ...]) -> list[tuple[nn.Conv2d, float]]:
    """Each convolution that learns, with the largest RMS of its filters (paper, section 3); nothing if the recipe
    sets none.

    A filter that sees pixels of half the range has to be twice as large for the same response: the first layer's
    bound is scaled so. The deeper layers see responses, whose range doesn't depend on that of the pixels.
    """
    if recipe.filter_rms is None:
        return []
    convolutions = [module for module in model.modules() if isinstance(module, nn.Conv2d)]
    half_range = 0.5 / (sum(std) / len(std))
    bounds = [recipe.filter_rms * (PAPER_HALF_RANGE / half_range if place == 0 else 1.0)
              for place in range(len(convolutions))]  # fmt: skip
    return [(convolution, bound) for convolution, bound in zip(convolutions, bounds, strict=True)
            if convolution.weight.requires_grad]  # fmt: skip


@torch.no_grad()
def bound_filters(bounds: list[tuple[nn.Conv2d, float]]) -> None:
    """Scale each filter [C, h, w] whose RMS exceeds its bound back to it, in place."""
    for convolution, bound in bounds:
        rms = convolution.weight.square().mean(dim=(1, 2, 3), keepdim=True).sqrt()
        convolution.weight.mul_((bound / rms.clamp(min=1e-12)).clamp(max=1.0))

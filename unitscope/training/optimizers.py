"""Parameter groups, optimizer and schedule of a recipe, and the paper's bound on the RMS of filters."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase

import torch
from torch import nn
from torch.optim import lr_scheduler

from unitscope.errors import InvalidArgument
from unitscope.training.recipes import Recipe

PAPER_HALF_RANGE = 128.0  # the paper's inputs range from about -128 to 128

Scheduler = lr_scheduler.LRScheduler | lr_scheduler.ReduceLROnPlateau


def _matching(parameter: str, patterns: Iterable[str]) -> str | None:
    """Return the first pattern that matches a parameter's name, or the path of a module that contains it."""
    parts = parameter.split(".")
    names = [".".join(parts[:length]) for length in range(1, len(parts) + 1)]
    return next((p for p in patterns if any(fnmatchcase(name, p) for name in names)), None)


def is_frozen(name: str, parameter: nn.Parameter, recipe: Recipe) -> bool:
    """Whether a parameter must not be trained: it requires no gradient, or the recipe freezes its name."""
    return not parameter.requires_grad or _matching(name, recipe.freeze) is not None


def parameter_groups(model: nn.Module, recipe: Recipe) -> list[dict[str, object]]:
    """Return one optimizer group for each learning rate; set ``requires_grad`` of frozen parameters to False.

    Raises
    ------
    InvalidArgument
        a pattern of the recipe matches no parameter, or all parameters are frozen.
    """
    groups: dict[str | None, list[nn.Parameter]] = {None: []}
    used: set[str] = set()
    for name, parameter in model.named_parameters():
        if frozen := _matching(name, recipe.freeze):
            used.add(frozen)
            parameter.requires_grad_(False)
            continue
        if rate := _matching(name, recipe.rates):
            used.add(rate)
        groups.setdefault(rate, []).append(parameter)
    if unused := [pattern for pattern in (*recipe.freeze, *recipe.rates) if pattern not in used]:
        raise InvalidArgument(
            reason=f"Pattern '{unused[0]}' matches no parameter, or only those that earlier patterns match."
        )
    learning = [
        {"params": parameters, "lr": recipe.rates[rate] if rate else recipe.learning_rate}
        for rate, parameters in groups.items()
        if parameters
    ]
    if not learning:
        raise InvalidArgument(reason="All parameters are frozen: leave at least one layer out of freeze.")
    return learning


def make_optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """Make the recipe's optimizer over ``parameter_groups``, and raise as they do.

    Its step is fused where the device supports that: one pass over the weights instead of one for each operation.
    The last bits differ from those of the unfused step. The optimizer's state has the form of the step, so a run
    whose state was saved by a version without it continues with the unfused step.
    """
    groups = parameter_groups(model, recipe)
    try:
        return _optimizer(groups, recipe, fused=True)
    except RuntimeError:  # a device without fused kernels
        return _optimizer(groups, recipe, fused=False)


def _optimizer(groups: list[dict[str, object]], recipe: Recipe, *, fused: bool) -> torch.optim.Optimizer:
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(
            groups, momentum=recipe.momentum, weight_decay=recipe.weight_decay, fused=fused or None
        )
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[recipe.optimizer]
    return kind(groups, weight_decay=recipe.weight_decay, fused=fused or None)


def is_fused(optimizer: torch.optim.Optimizer) -> bool:
    """Whether the optimizer's step is fused: see ``make_optimizer``."""
    return all(bool(group.get("fused")) for group in optimizer.param_groups)


def make_schedule(optimizer: torch.optim.Optimizer, recipe: Recipe) -> Scheduler:
    """Make the recipe's schedule. It is stepped after each epoch; ``plateau`` needs the validation accuracy."""
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
    """Switch modules whose own parameters are all frozen to evaluation mode: batch norm keeps its statistics.

    A batch norm without parameters counts as frozen if all parameters of the smallest enclosing module that has
    parameters are frozen. ``within_frozen`` is used for modules of a ``model`` without parameters.
    """
    everything, own = list(model.parameters()), list(model.parameters(recurse=False))
    frozen = _all_frozen(everything) if everything else within_frozen
    if own or any(True for _ in model.buffers(recurse=False)):
        # Not eval(), which would include trained modules inside.
        model.training &= not (_all_frozen(own) if own else frozen)
    for child in model.children():
        freeze_statistics(child, within_frozen=frozen)


def _all_frozen(parameters: Iterable[torch.Tensor]) -> bool:
    return not any(parameter.requires_grad for parameter in parameters)


def filter_bounds(model: nn.Module, recipe: Recipe, std: tuple[float, ...]) -> list[tuple[nn.Conv2d, float]]:
    """Return each convolution that is trained, with the largest RMS allowed for its filters (paper, section 3).

    The result is empty if the recipe sets no bound. The recipe's bound is meant for inputs from -128 to 128. For
    inputs of a smaller range the first convolution's bound is larger in proportion, so that its responses keep
    their range; the bounds of the other convolutions are not scaled.
    """
    if recipe.filter_rms is None:
        return []
    convolutions = [module for module in model.modules() if isinstance(module, nn.Conv2d)]
    half_range = 0.5 / (sum(std) / len(std))
    bounds = [recipe.filter_rms * (PAPER_HALF_RANGE / half_range if index == 0 else 1.0)
              for index in range(len(convolutions))]  # fmt: skip
    return [(convolution, bound) for convolution, bound in zip(convolutions, bounds, strict=True)
            if convolution.weight.requires_grad]  # fmt: skip


@torch.no_grad()
def bound_filters(bounds: list[tuple[nn.Conv2d, float]]) -> None:
    """Scale down each filter [C, h, w] whose RMS exceeds its bound, in place, so that its RMS equals the bound."""
    for convolution, bound in bounds:
        rms = convolution.weight.square().mean(dim=(1, 2, 3), keepdim=True).sqrt()
        convolution.weight.mul_((bound / rms.clamp(min=1e-12)).clamp(max=1.0))

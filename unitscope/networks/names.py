"""Names of tensors in weights files, fitted to those of a network.

Training programs wrap networks, and the names of tensors with them: ``{"net": {"module.conv1.weight": ...}}``. The
dictionary and the prefix are found by comparison with the network's names. Names of earlier versions are converted
by the network's modules, as ``load_state_dict`` does.
"""

from __future__ import annotations

import re
from collections import Counter, OrderedDict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import nn

from unitscope.errors import WeightsAmbiguous, WeightsNotReadable
from unitscope.networks.build import AUXILIARY_HEADS
from unitscope.networks.checkpoints import LONGEST_NAME, Checkpoint, StateDict, Weights
from unitscope.networks.unallocated import meta_copy

# Parts of names that belong to torch's wrappers: DataParallel, torch.compile, FSDP, activation checkpointing.
WRAPPERS = {"module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"}
# Last parts of the names of counters: of averaged models, and of thop, which counts operations.
COUNTERS = {"n_averaged", "total_ops", "total_params"}
PREFERRED = ("state_dict", "model")  # the usual keys, taken where others fit as well
AVERAGED = re.compile(r"(^|[^a-z])(ema|swa|averaged?)([^a-z]|$)")
# Layers of a dense block, as torchvision's published DenseNets name them.
OLD_DENSE = re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12]\.(?:weight|bias|running_mean|running_var))$")
SHOWN = 3  # names in a sentence


@dataclass(frozen=True)
class Fitted:
    """Tensors with the names of a network, as far as they fit, and what was assumed or left out, as sentences."""

    weights: Weights
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Candidate:
    """Tensors of a file without the wrappers' parts of their names and without a prefix.

    ``found`` is the number of the network's tensors among them.
    """

    key: str
    prefix: str
    wrappers: list[str]
    tensors: Weights
    versions: dict[str, int]
    outside: Weights  # tensors whose names don't have the prefix
    found: int

    def __str__(self) -> str:
        parts = [f"under {_quoted(self.key)}"] if self.key else []
        parts += [f"with the prefix {_quoted(self.prefix)}"] if self.prefix else []
        return " ".join(parts) or "at the top"


def fit(checkpoint: Checkpoint, model: nn.Module, network: str) -> Fitted:
    """Choose the tensors of a file that belong to a network, and give them the network's names.

    Tensors of auxiliary heads that the network was built without are left out, and so are those without the prefix
    of the others, unless a tensor is missing. Missing and unexpected names, and shapes, are not checked: see
    ``weights.load_weights``.

    Parameters
    ----------
    model
        the network; not changed.
    network
        its name.

    Raises
    ------
    WeightsAmbiguous
        several dictionaries, or several prefixes, fit equally well.
    WeightsNotReadable
        the file contains a tensor twice, with and without a prefix of a wrapper.
    """
    expected = model.state_dict()
    candidates = [
        candidate
        for key, state_dict in checkpoint.state_dicts.items()
        for candidate in _candidates(key, state_dict, expected.keys(), checkpoint.path)
    ]
    chosen, others = _best(candidates, checkpoint.path, network)
    weights = _converted(model, chosen.tensors, chosen.versions)
    heads = AUXILIARY_HEADS.get(network, ())
    auxiliary = [name for name in weights if name.startswith(heads)] if heads else []
    counters = [name for name in weights if name.rpartition(".")[2] in COUNTERS and name not in expected]
    kept = {name: tensor for name, tensor in weights.items() if name not in {*auxiliary, *counters}}
    for name, tensor in expected.items():
        if name not in kept and name.endswith("num_batches_tracked"):  # files before PyTorch 0.4.1 have none
            kept[name] = torch.zeros_like(tensor, device="cpu")
    if any(name not in kept for name in expected):  # they may be what is missing: load_weights names them
        return Fitted({**chosen.outside, **kept}, [])
    return Fitted(kept, _notes(chosen, others, auxiliary, counters))


def _candidates(key: str, state_dict: StateDict, expected: Collection[str], path: Path) -> Iterator[_Candidate]:
    """Yield the tensors without each of the prefixes that fit best."""
    known = {part for name in expected for part in name.split(".")}
    wrappers = WRAPPERS - known
    dense = any("denselayer" in name for name in expected)

    def plain(name: str) -> str:
        joined = ".".join(part for part in name.split(".") if part not in wrappers)
        return OLD_DENSE.sub(r"\1\2", joined) if dense else joined

    tensors: Weights = {}
    for full_name, tensor in state_dict.tensors.items():
        name = plain(full_name)
        if name in tensors:
            reason = f"it contains {name[:LONGEST_NAME]} twice, with and without the prefix 'module.'"
            raise WeightsNotReadable(path=path, reason=reason)
        tensors[name] = tensor
    removed = sorted(wrappers & {part for name in state_dict.tensors for part in name.split(".")})
    versions = {plain(module): number for module, number in state_dict.versions.items()}
    for prefix, found in _prefixes(tensors, expected):
        yield _Candidate(
            key,
            prefix,
            removed,
            {name[len(prefix) :]: tensor for name, tensor in tensors.items() if name.startswith(prefix)},
            {
                f"{module}."[len(prefix) : -1]: number
                for module, number in versions.items()
                if f"{module}.".startswith(prefix)
            },
            {name: tensor for name, tensor in tensors.items() if not name.startswith(prefix)},
            found,
        )


def _prefixes(names: Collection[str], expected: Collection[str]) -> list[tuple[str, int]]:
    """Return the prefixes with which most of the expected names occur, and the number of these.

    No prefix is preferred to one that fits as well, or with which less than half of the names occur.
    """
    counts = Counter(
        name[:start]
        for name in names
        if len(name) <= LONGEST_NAME
        for start in (0, *(match.end() for match in re.finditer(r"\.", name)))
        if name[start:] in expected
    )
    most = max(counts.values(), default=0)
    if counts[""] == most or most * 2 < len(expected):
        return [("", counts[""])]
    return [(prefix, count) for prefix, count in counts.items() if count == most]


def _best(candidates: Sequence[_Candidate], path: Path, network: str) -> tuple[_Candidate, list[_Candidate]]:
    """Return the candidate with most of the network's tensors, and others that have as many.

    Of several, it is the one that is not an average of weights over the steps of training; of several such, that
    under a usual key.
    """
    most = max(candidate.found for candidate in candidates)
    if most == 0:  # the largest, for the message of what is missing
        return max(candidates, key=lambda candidate: len(candidate.tensors)), []
    best = [candidate for candidate in candidates if candidate.found == most]
    remaining = [c for c in best if not AVERAGED.search(f"{c.key}.{c.prefix}".lower())] or best
    usual = next((same for key in PREFERRED if (same := [c for c in remaining if c.key == key])), remaining)
    remaining = usual if len(usual) == 1 else remaining
    if len(remaining) > 1:
        choices = _listed([str(candidate) for candidate in remaining], quoted=False)
        raise WeightsAmbiguous(path=path, network=network, choices=choices)
    return remaining[0], [candidate for candidate in best if candidate is not remaining[0]]


def _converted(model: nn.Module, tensors: Weights, versions: dict[str, int]) -> Weights:
    """Return tensors with the names that the modules of ``model`` give them when they load them.

    A module converts the names of its earlier versions. One that needs to know the version is told its own if the
    file does not say.
    """
    own = {path: local.get("version") for path, local in _metadata(model).items()}
    blank = meta_copy(model)
    for numbers in (versions, own):
        state: Weights = OrderedDict(tensors)
        try:
            for path, module in blank.named_modules():
                local: dict[str, object] = {"assign_to_params_buffers": True}
                if numbers.get(path) is not None:
                    local["version"] = numbers[path]
                # The method that modules override for this purpose; load_state_dict calls it with a copy.
                module._load_from_state_dict(state, f"{path}." if path else "", local, False, [], [], [])
        except (ValueError, RuntimeError):  # the version is not known, or a tensor is nested
            continue
        return dict(state)
    return tensors


def _metadata(model: nn.Module) -> dict[str, dict[str, int]]:
    metadata: dict[str, dict[str, int]] = vars(model.state_dict())["_metadata"]
    return metadata


# --- sentences ---


def _notes(
    chosen: _Candidate, others: Sequence[_Candidate], auxiliary: Sequence[str], counters: Sequence[str]
) -> list[str]:
    notes = []
    prefixes = [*(f"{part}." for part in chosen.wrappers), *([chosen.prefix] if chosen.prefix else [])]
    if chosen.key:
        notes.append(f"The tensors under {_quoted(chosen.key)} were taken.")
    if prefixes:
        notes.append(f"Prefixes of the tensors' names were removed: {_listed(prefixes)}.")
    if others:
        choices = _listed([str(other) for other in others], quoted=False)
        notes.append(f"Tensors that fit as well were not taken: those {choices}.")
    for what, names in (
        ("of auxiliary heads, which only training uses,", auxiliary),
        ("outside of the network", list(chosen.outside)),
        ("that are counters", counters),
    ):
        if names:
            notes.append(f"Tensors {what} were left out ({len(names)}): {_listed(names)}.")
    return notes


def _quoted(name: str) -> str:
    return f"'{name[:LONGEST_NAME]}'"


def _listed(names: Sequence[str], *, quoted: bool = True) -> str:
    shown = [_quoted(name) if quoted else name for name in names[:SHOWN]]
    return ", ".join([*shown, *([f"and {len(names) - SHOWN} more"] if len(names) > SHOWN else [])])

"""Specifications of networks, from their names and options."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from shared.errors import UsageError
from unitscope.description import FC_WIDTH, ZFNET_NAMES, NetworkSpecification, input_defaults
from unitscope.factories import FactorySpecification


def network_specification(
    name: str,
    classes: int,
    size: int | None = None,
    fc: int | None = None,
    maps: tuple[int, int, int] | None = None,
    without: Sequence[str] = (),
    head: int | None = None,
) -> NetworkSpecification:
    """Return the specification of a network; the input is that of its recipe unless ``size`` is given.

    A given ``fc`` that is the default of a ZFNet is stored as None, so that it does not make another job.
    """
    defaults = input_defaults(name)
    return NetworkSpecification(
        name=name,
        classes=classes,
        image_size=size or defaults.size,
        fc=_fc_width(name, fc),
        maps=maps,
        without=tuple(without),
        head=head,
        mean=defaults.mean,
        std=defaults.std,
    )


def changed_network(
    network: NetworkSpecification, classes: int, name: str | None = None, **options: Any
) -> NetworkSpecification:
    """Return a network for ``classes`` classes, with changed options.

    Parameters
    ----------
    name
        Another network. It gets the input size of ``network`` unless that is its default, and its ``head``; of a
        ZFNet, another ZFNet also gets ``fc``, ``maps`` and ``without``.
    options
        ``size``, ``fc``, ``maps``, ``without``, ``head``: see ``network_specification``. None or empty:
        not changed.
    """
    given = {option: value for option, value in options.items() if value not in (None, ())}
    if name is None or name == network.name:
        if network.factory is not None:
            refuse_options(network.name, given)
            wanted = given.get("head", network.head) or classes
            require_classes(network.factory, network.name, network.head or network.classes, wanted)
        if "size" in given:
            given["image_size"] = given.pop("size")
        if "fc" in given:
            given["fc"] = _fc_width(network.name, given["fc"])
        return NetworkSpecification.model_validate({**network.model_dump(), "classes": classes, **given})
    common: dict[str, Any] = {"head": network.head}
    if network.image_size != input_defaults(network.name).size:
        common["size"] = network.image_size
    if {name, network.name} <= {*ZFNET_NAMES}:
        common |= {"fc": network.fc, "maps": network.maps, "without": network.without}
    return network_specification(name, classes, **{**common, **given})


def _fc_width(name: str, fc: int | None) -> int | None:
    return None if fc == FC_WIDTH and name in ZFNET_NAMES else fc


def refuse_options(name: str, options: Collection[str]) -> None:
    """Check that the given options apply to a network of the user's own.

    Raises
    ------
    UsageError
    """
    if wrong := sorted({*options} - {"size", "head"}):
        raise UsageError(reason=f"--{wrong[0]} does not apply to {name}: it is a network of your own.")


def require_classes(factory: FactorySpecification, name: str, registered: int, wanted: int) -> None:
    """Check that the factory can make a network with so many classes.

    Raises
    ------
    UsageError
    """
    if factory.classes_argument is None and wanted != registered:
        raise UsageError(
            reason=f"Network {name} has {registered} classes, not {wanted}, and its factory has no argument for "
            f"their number. --head {registered} puts a linear layer on top of it. If there is an argument, add "
            "the network with --classes-argument."
        )

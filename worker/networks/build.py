"""Construction of any network: one of ours, torchvision's, or the user's own."""

from __future__ import annotations

from torch import nn

from shared.database.registered import require_allowed, require_registered
from shared.store.code import read_code
from shared.store.store import Store
from unitscope.description import NetworkSpecification
from unitscope.networks import build as networks
from worker.context import JobContext
from worker.networks.factory import FunctionOfUser, check_version
from worker.networks.sources import StoredSources


def build(context: JobContext, specification: NetworkSpecification) -> nn.Module:
    """Build the network of a job with initial weights.

    Raises
    ------
    NoSuchNetwork, InvalidArgument
    UserNetworksOff, NetworkNotRegistered, NetworkNotBuilt, CodeNotReadable, ArtifactMissing, ArtifactDamaged
        of a network of the user's own.
    """
    require_permission(context, specification)
    return build_network(specification, context.store)


def require_permission(context: JobContext, specification: NetworkSpecification) -> None:
    """Check that the code of a network of the user's own may be run: the setting allows it, and it was added here.

    Raises
    ------
    UserNetworksOff, NetworkNotRegistered
    """
    if specification.factory is not None:
        require_allowed(specification.name, allowed=context.user_networks)
        require_registered(context.database, specification)


def build_network(specification: NetworkSpecification, store: Store) -> nn.Module:
    """Build a network with initial weights. The caller has checked that it is allowed: see
    ``build``."""
    if specification.factory is not None:
        return _build_own(specification, store)
    return networks.build(
        specification.name,
        specification.classes,
        specification.image_size,
        fc=specification.fc,
        maps=specification.maps,
        without=specification.without,
        head=specification.head,
    )


def _build_own(specification: NetworkSpecification, store: Store) -> nn.Module:
    name, factory = specification.name, specification.factory
    assert factory is not None  # noqa: S101 - the caller's condition
    check_version(name, factory)
    sources = StoredSources(read_code(store, factory.code), f"code of {name}") if factory.code else None
    function = FunctionOfUser(name, factory.factory, sources)
    model = function.make(factory.arguments_for(specification.head or specification.classes))
    if specification.head is None:
        return model
    return networks.put_on_top(model, specification.head, specification.classes)

"""The evolution of units during training (paper, Fig. 4)."""

from shared.kinds.descriptor import Kind
from shared.kinds.evolution.specification import EvolutionSpecification
from shared.kinds.evolution.summary import EvolutionSummary
from shared.kinds.evolution.tables import EvolutionJob, EvolvedLayer, EvolvedUnit, SettledUnits, UnitEvolution

NAMED = 3  # layers; of more, the first and the last are named


def describe(specification: EvolutionSpecification) -> str:
    """Return a short description such as ``evolution of zfnet conv1, conv5: 8 epochs up to 64, train``."""
    layers = [layer.layer for layer in specification.layers]
    named = ", ".join(layers) if len(layers) <= NAMED else f"{layers[0]} to {layers[-1]}"
    epochs = specification.epochs
    return (
        f"evolution of {specification.network.name} {named}: {len(epochs)} epochs up to {epochs[-1]}, "
        f"{specification.split}"
    )


KIND = Kind(
    name="evolution",
    specification=EvolutionSpecification,
    summary=EvolutionSummary,
    stages={"search": "images", "select": None, "project": "units", "finish": None},
    tables=(EvolutionJob, EvolvedLayer, EvolvedUnit, UnitEvolution, SettledUnits),
    describe=describe,
    other_jobs=("training_job_id",),
    repeatable=True,
)

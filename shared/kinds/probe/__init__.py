"""Linear probes of layers (paper, Table 7)."""

from shared.kinds.descriptor import Kind
from shared.kinds.probe.specification import ProbeSpecification
from shared.kinds.probe.summary import ProbeSummary
from shared.kinds.probe.tables import ProbeAccuracy, ProbeJob


def describe(specification: ProbeSpecification) -> str:
    """Return a short description such as ``probe 7 layers of zfnet, 5 folds, 15 images a class``."""
    sampling, count = specification.sampling, len(specification.layers)
    layers = specification.layers[0].layer if count == 1 else f"{count} layers"
    parts = [f"probe {layers} of {specification.network.name}"]
    if sampling.folds:
        parts.append(f"{sampling.folds} folds")
    if sampling.repeats > 1:
        parts.append(f"{sampling.repeats} seeds")
    if sampling.per_class:
        parts.append(f"{sampling.per_class} images a class")
    if specification.shuffle_labels:
        parts.append("shuffled labels")
    return ", ".join(parts)


KIND = Kind(
    name="probe",
    specification=ProbeSpecification,
    summary=ProbeSummary,
    stages={"features": "images", "fit": "probes", "finish": None},
    tables=(ProbeJob, ProbeAccuracy),
    describe=describe,
    other_jobs=("training_job_id",),
    repeatable=True,
)

"""Probe jobs: request, command, results, and page."""

from producer.kinds.descriptor import ProducerKind, Result

KIND = ProducerKind(
    name="probe",
    command="producer.kinds.probe.command:probe",
    estimate="producer.kinds.probe.estimate:ESTIMATE",
    results=(
        Result("probe accuracies", "producer.kinds.probe.results:PROBE_MEANS"),
        Result(
            "trials",
            "producer.kinds.probe.results:PROBE_ACCURACIES",
            "Print a row for each trial of a probe job, instead of means over the trials.",
        ),
    ),
    page="producer.kinds.probe.report:render",
    links="producer.kinds.probe.links:links",
    section="producer.kinds.probe.section:section",
)

"""Invariance jobs: request, command, results, and page."""

from producer.kinds.descriptor import ProducerKind, Result

KIND = ProducerKind(
    name="invariance",
    command="producer.kinds.invariance.command:invariance",
    estimate="producer.kinds.invariance.estimate:ESTIMATE",
    results=(
        Result("invariance", "producer.kinds.invariance.results:INVARIANCE"),
        Result(
            "invariance-images",
            "producer.kinds.invariance.results:INVARIANCE_IMAGES",
            "Print a row for each image instead, with the path of its figure.",
        ),
    ),
    page="producer.kinds.invariance.report:render",
    links="producer.kinds.invariance.links:links",
    page_filters=frozenset({"layer", "class_name", "images"}),
    section="producer.kinds.invariance.section:section",
)

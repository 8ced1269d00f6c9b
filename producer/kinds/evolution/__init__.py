"""The evolution of units during training: request, command, results, and page."""

from producer.kinds.descriptor import ProducerKind, Result

KIND = ProducerKind(
    name="evolution",
    command="producer.kinds.evolution.command:evolution",
    estimate="producer.kinds.evolution.estimate:ESTIMATE",
    results=(
        Result("unit evolution", "producer.kinds.evolution.results:UNIT_EVOLUTION"),
        Result(
            "settled",
            "producer.kinds.evolution.results:SETTLED_UNITS",
            "Print the number of units of each layer that are settled at each epoch instead.",
        ),
    ),
    page="producer.kinds.evolution.report:render",
    links="producer.kinds.evolution.links:links",
    page_filters=frozenset({"layer"}),
    section="producer.kinds.evolution.section:section",
)

"""Filters of convolutions: request, command, results, and page."""

from producer.kinds.descriptor import ProducerKind, Result

KIND = ProducerKind(
    name="filters",
    command="producer.kinds.filters.command:filters",
    estimate="producer.kinds.filters.estimate:ESTIMATE",
    results=(
        Result("filters", "producer.kinds.filters.results:FILTERS"),
        Result(
            "filter-layers",
            "producer.kinds.filters.results:FILTER_LAYERS",
            "Print a row for each convolution instead of one for each filter.",
        ),
    ),
    page="producer.kinds.filters.report:render",
    links="producer.kinds.filters.links:links",
    page_filters=frozenset({"layer"}),
    section="producer.kinds.filters.section:section",
    network_verbs={"filters": "producer.kinds.filters.network:filters"},
)

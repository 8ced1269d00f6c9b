"""Correspondence jobs: request, command, results, and page."""

from producer.kinds.descriptor import ProducerKind, Result

KIND = ProducerKind(
    name="correspondence",
    command="producer.kinds.correspondence.command:correspondence",
    estimate="producer.kinds.correspondence.estimate:ESTIMATE",
    results=(
        Result("correspondence", "producer.kinds.correspondence.results:CORRESPONDENCE"),
        Result(
            "pairs",
            "producer.kinds.correspondence.results:PAIRS",
            "Print a row for each pair of images instead.",
        ),
        Result(
            "masked-images",
            "producer.kinds.correspondence.results:MASKED_IMAGES",
            "Print a row for each image and part instead, with the path of its picture.",
        ),
    ),
    page="producer.kinds.correspondence.report:render",
    links="producer.kinds.correspondence.links:links",
    page_filters=frozenset({"layer"}),
    section="producer.kinds.correspondence.section:section",
)

"""The top-9 search: its request, command, results, and page."""

from producer.kinds.descriptor import ProducerKind, Result

KIND = ProducerKind(
    name="top9",
    command="producer.kinds.top9.command:top9",
    results=(
        Result("top activations", "producer.kinds.top9.results:TOP_ACTIVATIONS"),
        Result(
            "best",
            "producer.kinds.top9.best:BEST_UNITS",
            "Instead, the so many units whose images agree most on a class.",
            takes_count=True,
        ),
        Result(
            "statistics",
            "producer.kinds.top9.results:UNIT_STATISTICS",
            "Instead, each unit's statistics over all images; the histogram is in JSON and CSV.",
        ),
        Result(
            "bottom",
            "producer.kinds.top9.results:BOTTOM_ACTIVATIONS",
            "Instead, the images with each unit's lowest minimum.",
        ),
        Result(
            "per-class",
            "producer.kinds.top9.results:CLASS_ACTIVATIONS",
            "Instead, each unit's top images of each class.",
        ),
    ),
    page="producer.kinds.top9.report:render",
    page_filters=frozenset({"layer", "units", "class_name"}),
)

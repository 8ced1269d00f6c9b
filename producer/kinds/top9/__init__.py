"""The top-9 search: request, command, results, and page."""

from producer.kinds.descriptor import ProducerKind, Result

KIND = ProducerKind(
    name="top9",
    command="producer.kinds.top9.command:top9",
    estimate="producer.kinds.top9.estimate:ESTIMATE",
    results=(
        Result("top activations", "producer.kinds.top9.results:TOP_ACTIVATIONS"),
        Result(
            "best",
            "producer.kinds.top9.best:BEST_UNITS",
            "Print the units whose top images agree most on one class, at most this many, instead.",
            takes_count=True,
        ),
        Result(
            "statistics",
            "producer.kinds.top9.results:UNIT_STATISTICS",
            "Print each unit's statistics over all images instead; the histogram is in JSON and CSV only.",
        ),
        Result(
            "bottom",
            "producer.kinds.top9.results:BOTTOM_ACTIVATIONS",
            "Print the images with each unit's lowest minimum instead (searches submitted with --bottom).",
        ),
        Result(
            "per-class",
            "producer.kinds.top9.results:CLASS_ACTIVATIONS",
            "Print each unit's top images of each class instead (searches submitted with --per-class).",
        ),
        Result(
            "selectivity",
            "producer.kinds.top9.selectivity:UNIT_SELECTIVITY",
            "Print how well each unit tells each class from all others instead: AUC, and precision among the "
            "strongest images. --ranks 1 prints each unit's best class.",
        ),
        Result(
            "labels",
            "producer.kinds.top9.labels.results:UNIT_LABELS",
            "Print the words that describe each unit instead (after `analyze label`).",
        ),
    ),
    page="producer.kinds.top9.report:render",
    page_filters=frozenset({"layer", "units", "class_name"}),
    section="producer.kinds.top9.section:section",
    pages="producer.kinds.top9.gallery:PAGES",
    links="producer.kinds.top9.gallery.links:links",
    site="producer.kinds.top9.gallery.site:write_site",
    image_links="producer.kinds.top9.gallery.of_image:image_links",
    verbs={"find": "producer.kinds.top9.find.command:find", "label": "producer.kinds.top9.labels.command:label"},
)

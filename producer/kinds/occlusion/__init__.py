"""Occlusion sweeps: request, command, results, and page."""

from producer.kinds.descriptor import ProducerKind, Result

KIND = ProducerKind(
    name="occlusion",
    command="producer.kinds.occlusion.command:occlusion",
    estimate="producer.kinds.occlusion.estimate:ESTIMATE",
    results=(
        Result("occlusion maps", "producer.kinds.occlusion.results:OCCLUSION_MAPS"),
        Result(
            "positions",
            "producer.kinds.occlusion.results:OCCLUSION_POSITIONS",
            "Print a row for each position instead (sweeps submitted with --positions).",
        ),
    ),
    page="producer.kinds.occlusion.report:render",
    page_filters=frozenset({"layer", "units", "class_name", "images"}),
    section="producer.kinds.occlusion.section:section",
    pages="producer.kinds.occlusion.gallery:PAGES",
    links="producer.kinds.occlusion.gallery.links:links",
    image_links="producer.kinds.occlusion.of_image:image_links",
)

"""Feature maps: request, command, results, and page."""

from producer.kinds.descriptor import ProducerKind, Result

KIND = ProducerKind(
    name="features",
    command="producer.kinds.features.command:features",
    estimate="producer.kinds.features.estimate:ESTIMATE",
    results=(Result("feature maps", "producer.kinds.features.results:FEATURE_MAPS"),),
    page="producer.kinds.features.report:render",
    links="producer.kinds.features.links:links",
    page_filters=frozenset({"layer", "class_name", "images"}),
    image_links="producer.kinds.features.of_image:image_links",
)

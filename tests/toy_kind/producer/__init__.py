"""Command, results and page of brightness jobs."""

from producer.kinds.descriptor import ProducerKind, Result

KIND = ProducerKind(
    name="brightness",
    command="producer.kinds.brightness.command:brightness",
    results=(Result("brightness", "producer.kinds.brightness.results:BRIGHTNESS"),),
    page="producer.kinds.brightness.page:render",
)

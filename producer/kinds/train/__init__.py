"""Training runs: request, command, results, and recipes."""

from producer.kinds.descriptor import ProducerKind, Result

KIND = ProducerKind(
    name="train",
    command="producer.kinds.train.command:train",
    estimate="producer.kinds.train.estimate:ESTIMATE",
    section="producer.kinds.train.section:section",
    pages="producer.kinds.train.gallery:PAGES",
    links="producer.kinds.train.gallery.links:links",
    results=(Result("epochs", "producer.kinds.train.results:EPOCHS"),),
    verbs={
        "compare": "producer.kinds.train.compare:compare",
        "recipe": "producer.kinds.train.recipes:recipe",
    },
)

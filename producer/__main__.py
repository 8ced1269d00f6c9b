"""Entry point of ``python -m producer``, the same as ``analyze``."""

from producer.cli.main import main

main()

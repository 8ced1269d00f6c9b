"""``python -m producer`` is ``analyze``."""

from producer.cli.main import main

main()

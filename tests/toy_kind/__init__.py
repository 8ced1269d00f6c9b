"""An example of a new job kind: the mean brightness of images, by class.

``shared``, ``worker`` and ``producer`` are the folders ``kinds/brightness`` of these packages, and
``migration.py`` is the migration. ``tests/acceptance/test_toy_kind.py`` adds them, and nothing else, to a copy of
the program.
"""

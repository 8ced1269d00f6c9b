"""A kind of job as somebody would add it: the mean brightness of images, by class.

``shared``, ``worker`` and ``producer`` are its folders ``kinds/brightness`` on each side, and ``migration.py`` its
migration. ``tests/acceptance/test_toy_kind.py`` puts them into a copy of the program, and nothing else.
"""

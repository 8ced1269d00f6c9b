"""Speed, as ratios against a named peer measured in the same run: ``python -m benchmarks``.

``python -m benchmarks.training`` is a command of its own.
"""

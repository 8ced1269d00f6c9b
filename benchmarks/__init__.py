"""Speed benchmarks, reported as ratios to a named peer measured in the same run: ``python -m benchmarks``.

The training benchmark is a separate command: ``python -m benchmarks.training``.
"""

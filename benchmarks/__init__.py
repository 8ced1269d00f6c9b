"""Speed benchmarks, reported as ratios to a named peer measured in the same run: ``python -m benchmarks``.

``python -m benchmarks.training_accuracy`` checks that the speed of training doesn't cost accuracy.
"""

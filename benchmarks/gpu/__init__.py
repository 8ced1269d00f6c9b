"""Tests, benchmarks and profiles on a GPU, run by one command: ``python -m benchmarks.gpu``; see docs/gpu.md."""

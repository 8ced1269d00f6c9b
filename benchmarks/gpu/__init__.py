"""Tests, benchmarks and profiles on a GPU, run by ``python -m benchmarks.gpu``; see docs/operations/gpu.md."""

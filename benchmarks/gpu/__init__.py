"""Everything that should run on a GPU, tried by one command: ``python -m benchmarks.gpu``; see docs/gpu.md."""

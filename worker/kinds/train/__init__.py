"""The stage of a training run."""

"""Commands that submit small jobs on generated images."""

# A training run of a tiny network; `--epochs` makes it long.
TRAIN = (
    "submit", "train", "--dataset", "shapes", "--network", "zfnet", "--size", 64, "--fc", 16, "--maps", "8,8,8",
)  # fmt: skip

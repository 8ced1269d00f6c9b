"""Speed, as ratios against a named peer measured in the same run: each module is a command of its own."""

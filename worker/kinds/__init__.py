"""The job kinds: a module each, with a function for every stage of its plan."""

# (kind, stage) -> "module:function", imported only in the process that computes.
STAGES = {
    ("top9", "search"): "worker.kinds.top9:search",
    ("top9", "select"): "worker.kinds.top9:select",
    ("top9", "project"): "worker.kinds.top9_projecting:project",
    ("top9", "finish"): "worker.kinds.top9:finish",
    ("occlusion", "sweep"): "worker.kinds.occlusion:sweep",
    ("occlusion", "draw"): "worker.kinds.occlusion_drawing:draw",
    ("occlusion", "finish"): "worker.kinds.occlusion_drawing:finish",
    ("train", "train"): "worker.kinds.train:train",
}

# job kind -> the function that computes a sample of its rows again, for `analyze verify`.
CHECKS = {
    "top9": "worker.kinds.top9_checking:check",
    "train": "worker.kinds.train_checking:check",
    "occlusion": "worker.kinds.occlusion_checking:check",
}

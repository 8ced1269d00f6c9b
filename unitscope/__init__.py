"""Visualize which inputs activate each unit of a neural network, over a whole data set.

>>> import unitscope as us
>>> network = us.load_network("resnet18", weights="r18.pth")  # or us.Network(any nn.Module, size=224)
>>> us.describe(network)                                      # layers, shapes, receptive fields
>>> result = us.top9(network, "layer3.1.conv2", "photos/")    # the images that activate each unit most
>>> result.rows(); result.to_csv("top9.csv")                  # a list of dicts: pandas.DataFrame(result.rows())
>>> result.figure(unit=12)                                    # projections and patches; Jupyter displays it
>>> result.find_images([3, 17]); result.similar(12)           # questions, without running the network again
>>> us.project(network, "layer3.1.conv2", unit=12, image="a.jpg").figure()
>>> us.occlude(network, "a.jpg", patch=32, stride=8).figure()
>>> us.compare_epochs({1: early, 50: late}, ["conv1", "conv5"], "photos/").picture()  # networks by epoch
>>> us.probe(network, "photos/").figure()                     # how well layers separate the classes
>>> us.extract_features(network, "a.jpg").picture()           # every layer
>>> us.inspect_filters(network, "conv1").figure()
>>> us.measure_invariance(network, "photos/dog/").figure()            # shifts, scales and rotations
>>> us.train("zfnet", "photos/", epochs=20).save("zfnet.safetensors")

Images are given as a folder (its subfolders are the classes), paths, PIL images, or uint8 arrays. Files are turned
as their EXIF orientation says; PIL images and arrays are used as they are. Computation runs on the GPU if there is
one. Errors are classes of ``unitscope.errors``. Torch and matplotlib are imported on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from unitscope import errors as errors
from unitscope.errors import UnitscopeError as UnitscopeError

if TYPE_CHECKING:
    from unitscope.api.correspondence import ComparedParts as ComparedParts
    from unitscope.api.correspondence import compare_parts as compare_parts
    from unitscope.api.evolution import Evolution as Evolution
    from unitscope.api.evolution import compare_epochs as compare_epochs
    from unitscope.api.features import Features as Features
    from unitscope.api.features import extract_features as extract_features
    from unitscope.api.filters import Filters as Filters
    from unitscope.api.filters import inspect_filters as inspect_filters
    from unitscope.api.invariance import Invariance as Invariance
    from unitscope.api.invariance import measure_invariance as measure_invariance
    from unitscope.api.network import Network as Network
    from unitscope.api.network import describe as describe
    from unitscope.api.network import load_network as load_network
    from unitscope.api.occlusion import Occluded as Occluded
    from unitscope.api.occlusion import occlude as occlude
    from unitscope.api.probing import Probed as Probed
    from unitscope.api.probing import probe as probe
    from unitscope.api.projection import Projected as Projected
    from unitscope.api.projection import project as project
    from unitscope.api.top9 import Top9 as Top9
    from unitscope.api.top9 import top9 as top9
    from unitscope.api.training import Trained as Trained
    from unitscope.api.training import train as train
    from unitscope.training.recipes import Recipe as Recipe

__all__ = [  # documented by `help`; errors, UnitscopeError and Recipe are public too
    "ComparedParts",
    "Evolution",
    "Features",
    "Filters",
    "Invariance",
    "Network",
    "Occluded",
    "Probed",
    "Projected",
    "Top9",
    "Trained",
    "compare_epochs",
    "compare_parts",
    "describe",
    "extract_features",
    "inspect_filters",
    "load_network",
    "measure_invariance",
    "occlude",
    "probe",
    "project",
    "top9",
    "train",
]

_MODULES = {
    "Evolution": "api.evolution",
    "Features": "api.features",
    "Filters": "api.filters",
    "ComparedParts": "api.correspondence",
    "Invariance": "api.invariance",
    "Network": "api.network",
    "Occluded": "api.occlusion",
    "Probed": "api.probing",
    "Projected": "api.projection",
    "Recipe": "training.recipes",
    "Top9": "api.top9",
    "Trained": "api.training",
    "compare_epochs": "api.evolution",
    "compare_parts": "api.correspondence",
    "describe": "api.network",
    "extract_features": "api.features",
    "inspect_filters": "api.filters",
    "load_network": "api.network",
    "measure_invariance": "api.invariance",
    "occlude": "api.occlusion",
    "probe": "api.probing",
    "project": "api.projection",
    "top9": "api.top9",
    "train": "api.training",
}

if not TYPE_CHECKING:  # with a module __getattr__ a type checker would accept any name

    def __getattr__(name):
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
        globals()[name] = value  # the next access doesn't call __getattr__
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES})

"""Shows, for every unit of a convolutional network and a whole data set, what makes it fire.

>>> import unitscope as us
>>> network = us.load_network("resnet18", weights="r18.pth")  # or us.Network(any nn.Module, size=224)
>>> us.describe(network)                                      # layers, shapes, receptive fields
>>> found = us.top9(network, "layer3.1.conv2", "photos/")     # the images that fire each unit most
>>> found.rows(); found.to_csv("top9.csv")                    # records, which pandas takes as they are
>>> found.figure(unit=12)                                     # projections and patches; Jupyter shows it
>>> us.project(network, "layer3.1.conv2", unit=12, image="a.jpg").figure()
>>> us.occlude(network, "a.jpg", patch=32, stride=8).figure()
>>> us.train("zfnet", "photos/", epochs=20).save("zfnet.safetensors")

Images are a folder (its folders are the classes), paths, PIL images, or uint8 arrays. The GPU is used if there is
one. Errors are classes of ``unitscope.errors``. Torch and matplotlib are imported when they are first needed.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from unitscope import errors as errors
from unitscope.errors import UnitscopeError as UnitscopeError

if TYPE_CHECKING:
    from unitscope.api.network import Network as Network
    from unitscope.api.network import describe as describe
    from unitscope.api.network import load_network as load_network
    from unitscope.api.occlusion import Occluded as Occluded
    from unitscope.api.occlusion import occlude as occlude
    from unitscope.api.projection import Projected as Projected
    from unitscope.api.projection import project as project
    from unitscope.api.top9 import Top9 as Top9
    from unitscope.api.top9 import top9 as top9
    from unitscope.api.training import Trained as Trained
    from unitscope.api.training import train as train
    from unitscope.training.recipes import Recipe as Recipe

__all__ = [  # what `help` tells about; errors, UnitscopeError and Recipe are here as well
    "Network",
    "Occluded",
    "Projected",
    "Top9",
    "Trained",
    "describe",
    "load_network",
    "occlude",
    "project",
    "top9",
    "train",
]

_MODULES = {
    "Network": "api.network",
    "Occluded": "api.occlusion",
    "Projected": "api.projection",
    "Recipe": "training.recipes",
    "Top9": "api.top9",
    "Trained": "api.training",
    "describe": "api.network",
    "load_network": "api.network",
    "occlude": "api.occlusion",
    "project": "api.projection",
    "top9": "api.top9",
    "train": "api.training",
}

if not TYPE_CHECKING:  # or a type checker would take any name for one of ours

    def __getattr__(name):
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
        globals()[name] = value  # the next time it is there
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES})

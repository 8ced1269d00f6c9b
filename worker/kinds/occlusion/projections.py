"""Projections for an occlusion sweep: each image's unit, projected from that image."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
from torch import nn

from shared.errors import ProjectionCheckFailed
from shared.kinds.occlusion.specification import OcclusionSpecification
from unitscope.data.images import ImageSource
from unitscope.data.upload import Uploader
from unitscope.drawing.unit_pictures import UnitPicture, unit_picture
from unitscope.errors import UnsupportedActivation
from unitscope.geometry.receptive_fields import trace
from unitscope.projection.choice import projector_for
from unitscope.projection.empty import EmptyProjections, WrongProjection
from unitscope.projection.requests import Requests
from unitscope.search.search import observe, strongest
from worker.runner import ShardContext


class UnitProjections:
    """Computes projections of units from swept images."""

    def __init__(self, context: ShardContext, specification: OcclusionSpecification, model: nn.Module) -> None:
        network = specification.network
        self.context, self.specification, self.model = context, specification, model
        self.upload = Uploader(context.device, network.mean, network.std)
        layers = trace(model, network.image_size).layers
        self.geometry = next(layer.geometry for layer in layers if layer.path == specification.path)
        self.projector = projector_for(
            model,
            specification.path,
            network.image_size,
            device=context.device,
            mean=network.mean,
            std=network.std,
        )
        self.empty = EmptyProjections(
            model, specification.path, "deconvnet", self.projector, context.device, network.mean, network.std
        )

    def of(
        self, pixels: torch.Tensor, units: Sequence[int], sources: Sequence[ImageSource]
    ) -> list[UnitPicture | None]:
        """Project the strongest activation of each image's unit.

        Parameters
        ----------
        pixels
            uint8 [N, 3, H, W].
        units, sources
            one for each image.

        Returns
        -------
        list
            N pictures; None where the unit is not positive or the network has no deconvnet.

        Raises
        ------
        ProjectionCheckFailed
        """
        outputs: list[torch.Tensor] = []
        with torch.inference_mode():
            for image in pixels.split(1):
                observe(self.model, {self.specification.path: outputs.append}, self.upload(image))
            maxima, positions = (
                torch.cat(values).cpu() for values in zip(*(strongest(maps) for maps in outputs), strict=True)
            )
        images = torch.arange(len(units))
        activations = maxima[images, torch.tensor(units)]
        position = positions[images, torch.tensor(units)].numpy()
        positive = (activations > 0).nonzero().flatten().numpy()
        columns = outputs[0].shape[3]
        ids = np.array([source.id for source in sources])
        rows, cols = position // columns, position % columns
        requests = Requests(np.array(units), images.numpy(), ids, rows, cols).at(positive)
        result: list[UnitPicture | None] = [None] * len(units)
        arrays = list(pixels.permute(0, 2, 3, 1).numpy())
        largest = float(maxima.max())
        try:
            for number, projection in self.projector.project(arrays, requests):
                image = int(requests.images[number])
                row, col = int(requests.rows[number]), int(requests.cols[number])
                window = self.geometry.window(row, col) if self.geometry else None
                reason = partial(self.empty.reason, projection.values, arrays[image], units[image], row, col)
                activation = float(activations[image])
                result[image] = unit_picture(arrays[image], projection, window, activation, largest, reason)
        except WrongProjection as wrong:
            raise ProjectionCheckFailed(
                unit=units[image], layer=self.specification.layer, image=sources[image].path, reason=str(wrong)
            ) from wrong
        except UnsupportedActivation as error:
            self.context.log("warning", f"no projections: {error}")
        return result

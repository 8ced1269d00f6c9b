"""The projections that an occlusion sweep shows: of each image's unit, from that image."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from shared.errors import ProjectionCheckFailed
from shared.kinds.occlusion.specification import OcclusionSpecification
from unitscope.data.images import ImageSource
from unitscope.data.upload import Uploader
from unitscope.drawing.unit_pictures import UnitPicture, WrongProjection, unit_picture
from unitscope.errors import FunctionalActivation
from unitscope.geometry.receptive_fields import trace
from unitscope.projection.choice import projector_for
from unitscope.projection.requests import Requests
from unitscope.search.search import observe, strongest
from worker.runner import ShardContext


class UnitProjections:
    """Projections of units from images that were swept."""

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

    def of(
        self, pixels: torch.Tensor, units: Sequence[int], sources: Sequence[ImageSource]
    ) -> list[UnitPicture | None]:
        """Of each image uint8 [N, 3, H, W] its unit's strongest activation, projected; None where it doesn't fire,
        or the network has no deconvnet.

        Raises
        ------
        ProjectionCheckFailed
        """
        found: list[torch.Tensor] = []
        with torch.inference_mode():
            for image in pixels.split(1):
                observe(self.model, {self.specification.path: found.append}, self.upload(image))
            maxima, places = (
                torch.cat(values).cpu() for values in zip(*(strongest(maps) for maps in found), strict=True)
            )
        each = torch.arange(len(units))
        activations, at = maxima[each, torch.tensor(units)], places[each, torch.tensor(units)].numpy()
        firing = (activations > 0).nonzero().flatten().numpy()
        columns = found[0].shape[3]
        ids = np.array([source.id for source in sources])
        requests = Requests(np.array(units), each.numpy(), ids, at // columns, at % columns).at(firing)
        shown: list[UnitPicture | None] = [None] * len(units)
        pictured = list(pixels.permute(0, 2, 3, 1).numpy())
        largest = float(maxima.max())
        try:
            for number, projection in self.projector.project(pictured, requests):
                image = int(requests.images[number])
                row, col = int(requests.rows[number]), int(requests.cols[number])
                window = self.geometry.window(row, col) if self.geometry else None
                shown[image] = unit_picture(
                    pictured[image], projection, window, float(activations[image]), largest
                )
        except WrongProjection as wrong:
            raise ProjectionCheckFailed(
                unit=units[image], layer=self.specification.layer, image=sources[image].path, reason=str(wrong)
            ) from wrong
        except FunctionalActivation as error:
            self.context.log("warning", f"no projections: {error}")
        return shown

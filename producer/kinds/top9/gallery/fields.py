"""Receptive fields of activations in the images of a data set."""

from __future__ import annotations

from unitscope.description import LayerDescription

Box = tuple[float, float, float, float]  # left, top, right, bottom


def field_in_image(
    layer: LayerDescription | None,
    row: int | None,
    col: int | None,
    image_size: int,
    box: tuple[int, int, int, int],
) -> Box | None:
    """Return the receptive field of an activation, in pixels of the image's file, clipped to ``box``.

    Parameters
    ----------
    layer
        The layer of the activation; None if it is not known.
    row, col
        Place of the activation; None where it has none.
    image_size
        Side of the network's input, to which ``box`` was resized.
    box
        (left, top, right, bottom) of the part of the file that was searched.

    Returns
    -------
    The box (left, top, right, bottom); None if it is all of ``box``, or not known.
    """
    if layer is None or row is None or col is None:
        return None
    if layer.form is not None and layer.form.kind == "tokens":
        window = layer.form.square(row, col, image_size)
    elif layer.receptive_field is None or layer.stride is None or layer.start is None:
        window = None
    else:
        top, left = layer.start + row * layer.stride, layer.start + col * layer.stride
        window = top, left, top + layer.receptive_field, left + layer.receptive_field
    if window is None:
        return None
    top, left, bottom, right = (min(max(value, 0), image_size) for value in window)
    across, down = (box[2] - box[0]) / image_size, (box[3] - box[1]) / image_size
    return box[0] + left * across, box[1] + top * down, box[0] + right * across, box[1] + bottom * down

"""Receptive fields in images: the same windows as the library's, in pixels of the file."""

from __future__ import annotations

import pytest

from producer.kinds.top9.gallery.fields import field_in_image
from unitscope.description import LayerDescription
from unitscope.geometry.receptive_fields import Geometry
from unitscope.layers.forms import LayerForm

WHOLE = (0, 0, 200, 100)


def conv(size: int = 11, stride: int = 4, start: int = -2) -> LayerDescription:
    return LayerDescription(
        path="features.0",
        name="conv1",
        kind="Conv2d",
        output_shape=(8, 10, 10),
        parameters=1,
        receptive_field=size,
        stride=stride,
        start=start,
    )


@pytest.mark.parametrize(("row", "col"), [(0, 0), (3, 5), (9, 9)])
def test_the_field_is_the_window_scaled_to_the_box(row: int, col: int) -> None:
    top, left, bottom, right = Geometry(11, 4, -2).window(row, col)
    expected = [min(max(value, 0), 40) for value in (left, top, right, bottom)]
    field = field_in_image(conv(), row, col, 40, (100, 20, 180, 60))
    assert field == (100 + 2 * expected[0], 20 + expected[1], 100 + 2 * expected[2], 20 + expected[3])


def test_a_token_has_its_square_and_the_class_token_no_field() -> None:
    form = LayerForm(kind="tokens", units=8, channels_last=True, rows=4, columns=4, before=1)
    tokens = conv().model_copy(update={"form": form})
    assert field_in_image(tokens, 1, 2, 40, WHOLE) == (100.0, 25.0, 150.0, 50.0)
    assert field_in_image(tokens, None, None, 40, WHOLE) is None


def test_no_field_where_it_is_the_whole_image_or_not_known() -> None:
    everything = conv().model_copy(update={"receptive_field": None, "stride": None, "start": None})
    assert field_in_image(everything, 0, 0, 40, WHOLE) is None
    assert field_in_image(None, 0, 0, 40, WHOLE) is None
    assert field_in_image(conv(), None, None, 40, WHOLE) is None

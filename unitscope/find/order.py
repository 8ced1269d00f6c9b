"""The best images of a scan, in a total order: by value descending, then by the image's position ascending."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from unitscope.errors import InvalidArgument

MOST_AT_ONCE = 65_536  # images of a block: its arrays fit into a processor's cache
LEAST_AT_ONCE = 1024


def image_blocks(images: int, bytes_of_image: int, memory: int) -> Iterator[slice]:
    """Divide images into blocks whose arrays take at most ``memory`` bytes.

    Raises
    ------
    InvalidArgument
        ``memory`` is too small for 1,024 images.
    """
    at_once = min(memory // bytes_of_image, MOST_AT_ONCE)
    if at_once < LEAST_AT_ONCE:
        needed = -(-LEAST_AT_ONCE * bytes_of_image // 10**6)
        raise InvalidArgument(reason=f"The memory is too small: this question needs at least {needed} MB.")
    return (slice(start, min(start + at_once, images)) for start in range(0, images, at_once))


class Best:
    """The best of the images that were added, at most ``count``. Images of value -inf are not candidates."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.values = np.zeros(0)
        self.images = np.zeros(0, np.int64)

    def add(self, values: np.ndarray, first: int) -> None:
        """Add the images that follow those added before.

        Parameters
        ----------
        values
            float [images], no NaN.
        first
            position of the first of these images.
        """
        if len(self.values) == self.count:  # of equal values, that of an earlier image stays
            chosen = (values > self.values[-1]).nonzero()[0]
        else:
            chosen = (values > -np.inf).nonzero()[0]
        if len(chosen) > self.count:
            some = values[chosen]
            least = np.partition(some, len(some) - self.count)[len(some) - self.count]
            above, equal = chosen[some > least], chosen[some == least]
            chosen = np.concatenate([above, equal[: self.count - len(above)]])
        if len(chosen):
            joined = np.concatenate([self.values, values[chosen].astype(np.float64)])
            images = np.concatenate([self.images, chosen + first])
            order = np.lexsort((images, -joined))[: self.count]
            self.values, self.images = joined[order], images[order]


Found = tuple[np.ndarray, np.ndarray]  # positions and values of images, the best first


def first_of_groups(find: Callable[[int], Found], groups: np.ndarray, count: int) -> Found:
    """Return the best image of each group, at most ``count``.

    Parameters
    ----------
    find
        returns a number of images, without regard to groups.
    groups
        int64 [all images].
    """
    asked = min(4 * count, len(groups))
    while True:
        images, values = find(asked)
        _, first = np.unique(groups[images], return_index=True)
        if len(first) >= count or len(images) < asked or asked == len(groups):
            chosen = np.sort(first)[:count]
            return images[chosen], values[chosen]
        asked = min(4 * asked, len(groups))

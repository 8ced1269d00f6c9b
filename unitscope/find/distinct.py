"""Groups of images that show the same: objects of one file, copies of a file, and near-duplicates."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

NEAR = 3  # bits by which the perceptual hashes of near-duplicates differ, at most
LEAST_BITS = 8  # that are set, and that are cleared, in hashes that are compared
BANDS, BITS = NEAR + 1, 16  # of two hashes that differ in at most 3 bits, one of four bands is equal
PAIRS_AT_ONCE = 2**20


def distinct_groups(files: Sequence[str], hashes: np.ndarray, has_hash: np.ndarray) -> np.ndarray:
    """Group images by their files, and files by their perceptual hashes.

    In the order of the images, a file joins the earliest group whose first file has nearly its hash, or begins a
    group. A chain of pictures that change little from one to the next is thus not one group. Files of pictures
    with little detail are not compared, since their hashes say little.

    Parameters
    ----------
    files
        What identifies the content of each image's file, such as its SHA-256.
    hashes
        int64 [images]: perceptual hashes of the files.
    has_hash
        bool [images]: whether the hash is known. Images without one are grouped by their files only.

    Returns
    -------
    int64 [images]: the position of the first image of each image's group.
    """
    if not len(files):
        return np.zeros(0, np.int64)
    _, first, of_image = np.unique(np.asarray(files), return_index=True, return_inverse=True)
    of_file = first[of_image]  # the position of the first image of the file
    compared = np.flatnonzero(has_hash & has_detail(hashes))
    _, at = np.unique(of_file[compared], return_index=True)
    compared = compared[at]  # one image of each file, in the order of the files' first images
    group = np.arange(len(files))
    group[of_file[compared]] = of_file[compared][_leaders(hashes[compared])]
    result: np.ndarray = group[of_file].astype(np.int64)
    return result


def has_detail(hashes: np.ndarray) -> np.ndarray:
    """Return of which hashes, int64, enough bits are set and cleared: bool.

    A black picture, a white one, and one that darkens to the right have no bit set. Pictures with few structures
    on such a background differ in few bits, whatever they show.
    """
    bits = np.bitwise_count(hashes.astype(np.int64).view(np.uint64))
    result: np.ndarray = (bits >= LEAST_BITS) & (bits <= 64 - LEAST_BITS)
    return result


def _leaders(hashes: np.ndarray) -> np.ndarray:
    """Return for each hash the index of the first hash of its group: int64 [hashes]."""
    _, first, inverse = np.unique(hashes, return_index=True, return_inverse=True)
    order = np.argsort(first)  # of the distinct hashes, by where they occur first
    places = first[order]
    pairs = _joined(hashes[places])
    leaders = list(range(len(places)))
    for one, other in pairs[np.lexsort((pairs[:, 0], pairs[:, 1]))].tolist():
        if leaders[one] == one and leaders[other] == other:  # whether ``one``, the earlier, leads is settled
            leaders[other] = one
    of_distinct = np.zeros(len(places), np.int64)
    of_distinct[order] = places[np.array(leaders, np.int64)]
    result: np.ndarray = of_distinct[inverse]
    return result


def _joined(hashes: np.ndarray) -> np.ndarray:
    """Return pairs of indices, ascending, of hashes that differ in at most ``NEAR`` bits: int64 [pairs, 2].

    Hashes are compared with those that have a band in common.
    """
    bits = hashes.astype(np.int64).view(np.uint64)
    pairs = [np.zeros((0, 2), np.int64)]
    for band in range(BANDS):
        keys = (bits >> np.uint64(band * BITS)) & np.uint64(2**BITS - 1)
        order = np.argsort(keys, kind="stable")
        starts = np.flatnonzero(np.concatenate([[True], keys[order][1:] != keys[order][:-1]]))
        for members in np.split(order, starts[1:]) if len(order) else ():
            pairs += _near(bits, members)
    return np.concatenate(pairs)


def _near(bits: np.ndarray, members: np.ndarray) -> list[np.ndarray]:
    if len(members) < 2:
        return []
    rows = max(1, PAIRS_AT_ONCE // len(members))
    found = []
    for start in range(0, len(members), rows):
        some = members[start : start + rows]
        near = np.bitwise_count(bits[some][:, None] ^ bits[members][None]) <= NEAR
        one, other = near.nonzero()
        pairs = np.stack([some[one], members[other]], 1)
        found.append(pairs[pairs[:, 0] < pairs[:, 1]])
    return found

"""Groups of images that show the same: objects of one file, copies of a file, and near-duplicates."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

NEAR = 3  # bits by which the perceptual hashes of near-duplicates differ, at most
BANDS, BITS = NEAR + 1, 16  # of two hashes that differ in at most 3 bits, one of four bands is equal
PAIRS_AT_ONCE = 2**20


def distinct_groups(files: Sequence[str], hashes: np.ndarray, has_hash: np.ndarray) -> np.ndarray:
    """Group images. Near-duplicates of near-duplicates are in one group, so that each image is in exactly one.

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
    _, of_file = np.unique(np.asarray(files), return_inverse=True)
    distinct, of_hash = np.unique(hashes[has_hash], return_inverse=True)
    joined = _joined(distinct)
    # Nodes: files, then hashes. An image with a hash is an edge between them.
    parents = list(range(int(of_file.max()) + 1 + len(distinct)))
    offset = int(of_file.max()) + 1
    for first, second in joined.tolist():
        _join(parents, offset + first, offset + second)
    for file, number in dict.fromkeys(zip(of_file[has_hash].tolist(), of_hash.tolist(), strict=True)):
        _join(parents, file, offset + number)
    roots = np.array([_root(parents, file) for file in range(offset)])[of_file]
    _, first, inverse = np.unique(roots, return_index=True, return_inverse=True)
    result: np.ndarray = first[inverse].astype(np.int64)
    return result


def _joined(hashes: np.ndarray) -> np.ndarray:
    """Return pairs of indices of hashes that differ in at most ``NEAR`` bits: int64 [pairs, 2].

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


def _root(parents: list[int], node: int) -> int:
    while parents[node] != node:
        parents[node] = parents[parents[node]]
        node = parents[node]
    return node


def _join(parents: list[int], first: int, second: int) -> None:
    one, other = sorted((_root(parents, first), _root(parents, second)))
    parents[other] = one

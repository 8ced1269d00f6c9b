"""How many images a list of distinct images leaves out."""

from __future__ import annotations

import logging

import numpy as np

logger = logging.getLogger(__name__)


def note_duplicates(groups: np.ndarray, of: str) -> None:
    """Log how many images can't be listed beside another of their group.

    Parameters
    ----------
    groups
        int64 [images]: see ``unitscope.find.distinct``.
    of
        What the images are of, such as "the split val".
    """
    left_out = len(groups) - len(np.unique(groups))
    logger.warning(
        "Note: --distinct leaves out %s of the %s images of %s as duplicates of others.",
        f"{left_out:,}",
        f"{len(groups):,}",
        of,
    )

"""Event files for TensorBoard, on request, with the content of the table ``epochs``."""

from __future__ import annotations

from shared.errors import NoTensorBoard
from shared.store.store import Store
from unitscope.training.loop import PhaseResult


class TensorBoard:
    """Writes event files to ``tensorboard/run-N`` in the artifact store if ``enabled``, else nothing.

    Raises
    ------
    NoTensorBoard
        the package is not installed.
    """

    def __init__(self, store: Store, job_id: int, *, enabled: bool) -> None:
        self.store = store
        self.folder = store.root / "tensorboard" / f"run-{job_id}" if enabled else None
        if enabled:
            try:
                import torch.utils.tensorboard  # noqa: F401
            except ImportError as error:
                raise NoTensorBoard from error

    def epoch(self, epoch: int, learned: PhaseResult, checked: PhaseResult, learning_rate: float) -> None:
        """Add an epoch. ``purge_step`` lets TensorBoard ignore epochs that a killed run wrote after its last
        checkpoint.

        Raises
        ------
        StoreUnavailable
        """
        if self.folder is None:
            return
        self.store.require_present()  # TensorBoard would create the folder where the store is not mounted
        from torch.utils.tensorboard import SummaryWriter

        with SummaryWriter(str(self.folder), purge_step=epoch) as writer:
            for phase, result in (("train", learned), ("val", checked)):
                writer.add_scalar(f"loss/{phase}", result.loss, epoch)
                writer.add_scalar(f"accuracy/{phase}", result.accuracy, epoch)
                writer.add_scalar(f"top5/{phase}", result.top5, epoch)
                writer.add_scalar(f"images_per_second/{phase}", result.images / max(result.seconds, 1e-9), epoch)
            writer.add_scalar("gradient_norm", learned.gradient_norm or 0.0, epoch)
            writer.add_scalar("learning_rate", learning_rate, epoch)

"""How long workers run: until they are stopped, until the work is done, or until a time."""

from __future__ import annotations

from dataclasses import dataclass

GRACE_SECONDS = 20.0  # default of --grace
KILL_SECONDS = 5.0  # to kill the workers and record that their shards are queued again
STOP_SECONDS = GRACE_SECONDS + KILL_SECONDS  # longest time between the first SIGTERM and the end, by default
LARGEST_SHARE = 4  # of --max-time is the longest time, as its divisor, for which no shard is begun at the end


@dataclass(frozen=True)
class Lifetime:
    """When workers end by themselves, and how much time they have to finish a shard, all in seconds.

    Parameters
    ----------
    max_idle
        End when there was no work for so long; None for never, 0 for ``--burst``.
    max_time
        End after so long; None for never. The shard in hand is finished or handed back by then.
    grace
        Time for the shard in hand after the first signal.
    """

    max_idle: float | None = None
    max_time: float | None = None
    grace: float = GRACE_SECONDS

    def idle_too_long(self, idle_since: float | None, now: float) -> bool:
        """Return whether the workers end because there is no work."""
        return self.max_idle is not None and idle_since is not None and now - idle_since >= self.max_idle

    def finishing_seconds(self, started: float, now: float, typical: float) -> float | None:
        """Return the time that is left to finish the shards in hand if no further one may begin, else None.

        That is so when less is left than the grace time, or than a shard usually takes (``typical``; not more than
        a quarter of the whole time, or a training run would never begin).
        """
        if self.max_time is None:
            return None
        left = started + self.max_time - KILL_SECONDS - now
        needed = max(self.grace, min(typical, self.max_time / LARGEST_SHARE))
        return max(left, 0.0) if left <= needed else None

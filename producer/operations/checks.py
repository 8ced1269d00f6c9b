"""Results of the checks of ``analyze doctor``."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Check:
    """The result of a check.

    Parameters
    ----------
    well
        Whether the check passed.
    found
        Description of what was found.
    remedy
        Advice, empty if there is nothing to change.
    exit_code
        Exit code of ``analyze doctor`` if the check failed; 0 if the service works nevertheless.
    """

    name: str
    well: bool
    found: str
    remedy: str = ""
    exit_code: int = 0

    @property
    def level(self) -> str:
        """``error`` if the check sets the exit code, ``warning`` if there is a remedy, else ``ok``."""
        if self.exit_code and not self.well:
            return "error"
        return "ok" if self.well and not self.remedy else "warning"

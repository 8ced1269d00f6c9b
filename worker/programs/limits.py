"""Limits on the memory and computing time of reading a file that may be hostile."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from unitscope.description import NetworkSpecification

FILES_READ = 3  # address space for a file: safetensors maps it twice, and Python's objects take some
BASE_BYTES = 256 * 2**20
BASE_SECONDS = 120
BYTES_PER_SECOND = 20 * 2**20  # slower than any disk; waiting for one isn't computing time

STATM = Path("/proc/self/statm")  # the first number is the size of the address space in pages


@contextmanager
def limits_for_reading(size: int) -> Iterator[None]:
    """Limit this process while it reads a file of ``size`` bytes.

    An allocation beyond the limit fails: Python raises ``MemoryError``, torch ``RuntimeError``, and other code may
    abort the process. Beyond the time limit the process is killed by SIGXCPU. The limits are relative to what the
    process has used so far, because torch alone takes gigabytes of address space. Memory is limited on Linux only.
    """
    used = resource.getrusage(resource.RUSAGE_SELF)
    seconds = used.ru_utime + used.ru_stime + BASE_SECONDS + size / BYTES_PER_SECOND
    with _soft_limit(resource.RLIMIT_CPU, int(seconds) + 1):
        if not STATM.exists():
            yield
            return
        pages = int(STATM.read_text().split()[0])
        with _soft_limit(resource.RLIMIT_AS, pages * os.sysconf("SC_PAGE_SIZE") + FILES_READ * size + BASE_BYTES):
            yield


@contextmanager
def limits_for_network(network: NetworkSpecification) -> Iterator[None]:
    """Limit this process while it builds and runs a network, if that is the user's own: see
    ``limits_for_code``."""
    if network.factory is None:
        yield
        return
    with limits_for_code():
        yield


@contextmanager
def limits_for_code() -> Iterator[None]:
    """Limit this process while it runs code of a network of the user's own: to as much memory as the machine has.

    A function that allocates without end gets a ``MemoryError`` before the system ends other processes for it.
    Linux only.
    """
    if not STATM.exists():
        yield
        return
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    with _soft_limit(resource.RLIMIT_DATA, memory):  # not the address space, of which drivers reserve much
        yield


@contextmanager
def _soft_limit(kind: int, value: int) -> Iterator[None]:
    """Lower a limit for the duration of the block; one that is lower already stays."""
    soft, hard = resource.getrlimit(kind)
    present = [limit for limit in (soft, hard) if limit != resource.RLIM_INFINITY]
    resource.setrlimit(kind, (min([value, *present]), hard))
    try:
        yield
    finally:
        resource.setrlimit(kind, (soft, hard))

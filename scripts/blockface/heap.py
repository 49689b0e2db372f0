"""Memory that is no longer used goes back to the system, so that a process does not creep up.

glibc keeps freed arrays of up to 32 MB for reuse, in pieces that fit worse and worse. Where there
is no glibc, nothing happens here.
"""

import ctypes
import sys

M_MMAP_THRESHOLD, M_ARENA_MAX = -3, -8  # of malloc.h
LARGE_BYTES = 2**20


def give_back() -> None:
    """Return what is kept of freed arrays; called where long work takes turns."""
    _call("malloc_trim", 0)


def keep_no_large_arrays() -> None:
    """Return arrays of ``LARGE_BYTES`` and more as soon as they are freed, from now on.

    It halves the peak of work in blocks of many arrays and two threads, for a quarter more time.
    """
    _call("mallopt", M_MMAP_THRESHOLD, LARGE_BYTES)


def share_one_heap() -> None:
    """Let threads that begin from now on take from the heap of the first one.

    Those that read and write volumes keep their own pieces otherwise, by chance a tenth of a step.
    """
    _call("mallopt", M_ARENA_MAX, 1)


def _call(name: str, *arguments: int) -> None:
    if sys.platform == "linux":
        function = getattr(ctypes.CDLL(None), name, None)
        if function is not None:
            function(*arguments)

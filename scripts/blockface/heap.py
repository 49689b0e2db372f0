"""Memory that is no longer used goes back to the system."""

import ctypes
import sys


def give_back() -> None:
    """Return what the C library keeps of freed arrays; to be called where long work takes turns.

    glibc keeps arrays of up to 32 MB for reuse, in pieces that fit worse and worse, so that a
    process grows with the number of blocks it has worked on. Elsewhere this does nothing.
    """
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)

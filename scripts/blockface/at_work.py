"""Whether anybody is at work in a folder: a run, or a job that outlived its run.

Each holds a shared lock of the kernel on a file for as long as it lives, however it ends.
(Snakemake's own locks are files: they outlive a run that was killed.)
"""

import fcntl
import os
import threading
import time
from pathlib import Path

import psutil

RUN = Path(".snakemake/run_at_work")  # its text says whether the last run was on a cluster
JOB = Path(".snakemake/job_at_work")
SHELLS = ("sh", "bash", "dash", "zsh")
held = []  # open files; closing one, at the latest when the process ends, lets its lock go


def begin(path: Path) -> None:
    """Be at work until the process ends; ``path`` is ``RUN`` or ``JOB`` of the working directory.

    Does nothing where no run began, or where the file system has no such locks.
    """
    if RUN.parent.is_dir():
        file = path.open("a")
        try:
            fcntl.flock(file, fcntl.LOCK_SH)
            held.append(file)
        except OSError:
            file.close()


def alone(patience_s: float = 15) -> bool:
    """Whether neither a run nor a job is at work in the working directory.

    A job whose run was killed ends by itself (``end_with_parent``), so it is waited for.
    False also where the file system has no such locks: then nothing can be known.
    """
    if not unheld(RUN):
        return False
    end = time.monotonic() + patience_s
    while not unheld(JOB):
        if time.monotonic() > end:
            return False
        time.sleep(0.2)
    return True


def unheld(path: Path) -> bool:
    """Whether no process holds the lock on ``path``."""
    path.parent.mkdir(exist_ok=True)
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
    return True


def end_with_parent(every_s: float = 0.5) -> None:
    """End this process when the program that started it is gone (a shell between does not count).

    Else a job would write on where the next run has begun the same job again.
    """
    child = psutil.Process()
    while (parent := child.parent()) and parent.name() in SHELLS:
        child = parent

    def watch():
        try:
            while child.ppid() == parent.pid:  # orphans are given another parent
                time.sleep(every_s)
        except psutil.NoSuchProcess:
            pass  # the shell between is gone
        os._exit(1)

    if parent:
        threading.Thread(target=watch, daemon=True).start()

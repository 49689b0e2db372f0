"""Time and memory of programs that are run side by side."""

import os
import subprocess
import time

import psutil

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
PAUSE_S = 0.1  # between two looks at what has ended
SPARE = 50  # times as long as the last look at the memory took, until the next: it slows what runs


class Clock:
    """Seconds and peak memory (bytes, proportional share of all processes) of commands."""

    def __init__(self, cores: int, limit_s: float):
        self.cores, self.limit, self.seconds, self.peak = cores, limit_s, 0.0, 0

    def run(self, *commands: list[str]) -> None:
        """Run ``commands``, as many at once as there are cores, to their end."""
        waiting, running, began = list(commands), [], time.monotonic()
        next_look = began
        try:
            while waiting or running:
                while waiting and len(running) < self.cores:
                    running.append(
                        psutil.Popen(
                            waiting.pop(0), env={**os.environ, **ONE_THREAD},
                            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                        )
                    )  # fmt: skip
                time.sleep(PAUSE_S)
                now = time.monotonic()
                if now >= next_look:
                    self.peak = max(self.peak, sum(map(memory, running)))
                    next_look = now + SPARE * (time.monotonic() - now)
                for done in [p for p in running if p.poll() is not None]:
                    running.remove(done)
                    if done.returncode:
                        told = done.stderr.read().decode().strip().splitlines()
                        raise RuntimeError(told[-1] if told else f"exit {done.returncode}")
                if self.seconds + time.monotonic() - began > self.limit:
                    raise TimeoutError(f"stopped after {self.limit:.0f} s")
        finally:
            for process in running:
                end(process)
            self.seconds += time.monotonic() - began


def family(process: psutil.Process) -> list[psutil.Process]:
    """A process and all that it started."""
    try:
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def memory(process: psutil.Process) -> int:
    """Memory of a process and its children; what they share counts once, where the system tells."""
    total = 0
    for part in family(process):
        try:
            full = part.memory_full_info()
            total += getattr(full, "pss", full.rss)
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            continue  # it ended while we looked
    return total


def end(process: psutil.Process) -> None:
    """End a process and what it started."""
    for part in reversed(family(process)):
        try:
            part.kill()
        except psutil.NoSuchProcess:
            continue
    process.wait()

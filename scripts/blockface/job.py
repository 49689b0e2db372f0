"""What every rule's script does around its work: log, run, tell the user's mistakes in one line."""

import errno
import logging
import sys
import time
from collections.abc import Callable

from blockface import at_work
from blockface.errors import InputError

CHECKSUM = "checksum"  # in what zarr says of a chunk that was cut off or changed
OURS = ("blockface", "__main__")  # names of loggers

log = logging.getLogger("blockface")


def run(main: Callable, job) -> None:
    """Call ``main`` with the named inputs, outputs and params of a Snakemake ``job``, and threads.

    Lines go to the job's log file, warnings to standard error as well. A mistake of the user and a
    full disk end the program with one line in both; anything else with its traceback.
    """
    logging.basicConfig(
        filename=job.log[0],
        filemode="w",
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(message)s",
        force=True,
    )
    logging.captureWarnings(True)
    shown = logging.StreamHandler()
    shown.setFormatter(logging.Formatter("Warning: %(message)s"))
    shown.addFilter(is_for_the_user)
    logging.getLogger().addHandler(shown)
    named = {**dict(job.input.items()), **dict(job.output.items()), **dict(job.params.items())}
    # revision is there for Snakemake to see it change; Parquet lies beside each text table
    named = {k: v for k, v in named.items() if k != "revision" and not k.endswith("_parquet")}
    at_work.begin(at_work.JOB)
    at_work.end_with_parent()
    started = time.monotonic()
    try:
        main(**named, threads=job.threads)
    except InputError as error:
        stop(str(error))
    except Exception as error:
        full = full_disk(error)
        if full is None:
            log.exception("stopped")
            if CHECKSUM in str(error):
                stop(damaged(job, error))
            raise
        stop(
            f"{full.filename or job.output[0]}: no space left on the disk; earlier results are "
            "as they were; free some space and start again, finished parts are kept"
        )
    log.info("done in %.1f s", time.monotonic() - started)


def is_for_the_user(record: logging.LogRecord) -> bool:
    """Whether a line of the log is a warning of ours; those of libraries stay in the log."""
    return record.levelno == logging.WARNING and record.name.split(".")[0] in OURS


def full_disk(error: BaseException | None) -> OSError | None:
    """The error of a full disk behind ``error``; libraries raise others while they handle it."""
    while error is not None:
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            return error
        error = error.__cause__ or error.__context__
    return None


def damaged(job, error: Exception) -> str:
    """What to say where a stored chunk is not as it was written."""
    volumes = [str(v) for v in dict(job.input.items()).values() if str(v).endswith(".zarr")]
    return (
        f"{' or '.join(volumes)}: a stored chunk is damaged ({error}); remove the volume and run "
        "again, it is made anew; then check the disk"
    )


def stop(message: str) -> None:
    """End the program with ``message`` as its one line."""
    log.error(message)
    sys.exit(f"Error: {message}")

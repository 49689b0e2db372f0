"""The library behind the scripts: arrays in, arrays out; it knows nothing of Snakemake."""

import os

__version__ = "0.1.0"

# Threads that wait for work shall sleep, not spin: beside another busy job on the same cores,
# spinning made a training ten times slower (0.43 against 5.4 s a step). Read when torch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("GOMP_SPINCOUNT", "0")

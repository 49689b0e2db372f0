"""The library behind the scripts: arrays in, arrays out; it knows nothing of Snakemake."""

__version__ = "0.1.0"

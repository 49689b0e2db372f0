"""Cut the registered pairs that are to be trained on into patches."""

import logging

import pandas as pd

from blockface.job import run
from blockface.pair_split import (
    check_accepted,
    cut_pair,
    grey_range,
    load_pairs,
    span_of,
    split_pairs,
)
from blockface.patches import store_patches
from blockface.tables import read_table, write_table


def main(*, table, registered, patches, split_table, settings, threads) -> None:
    check_accepted(table, settings["refused_pairs"] == "leave_out")
    pairs = load_pairs(registered)
    fields = read_table(table, ("pair", "field")).set_index("pair")["field"]
    shown = {pair: int(fields[pair]) for pair in pairs}
    split = split_pairs(shown, settings["validation_pairs"], settings["test_pairs"])
    cut = {
        p: cut_pair(pairs[p], settings["patch_size"], f"{registered}, pair {p}")
        for p in pairs
        if split[p] == "train"
    }
    low, high = grey_range(list(pairs.values()))
    stored = [patch for pair in cut.values() for patch in pair]
    span = span_of(list(pairs.values()))
    store_patches(patches, stored, len(stored), grey=[low, high], span=span)
    rows = [{"pair": p, "split": split[p], "patches": len(cut.get(p, []))} for p in pairs]
    write_table(pd.DataFrame(rows), split_table)
    logging.info("%d patches of %d pairs; grey %.1f to %.1f", len(stored), len(cut), low, high)


if __name__ == "__main__":
    run(main, snakemake)

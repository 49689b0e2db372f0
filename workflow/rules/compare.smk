"""Two datasets or iterations beside each other."""


rule compare:
    input:
        objects_a=compared(0, "objects.zarr"),
        objects_b=compared(1, "objects.zarr"),
        # Parquet keeps the types of columns where there are no objects
        table_a=compared(0, "tables/objects.parquet"),
        table_b=compared(1, "tables/objects.parquet"),
        summary_a=compared(0, "tables/summary.csv"),
        summary_b=compared(1, "tables/summary.csv"),
    output:
        # update: a comparison that is refused leaves what was there
        objects_parquet=update("results/compare/{comparison}/objects.parquet"),
        summary_parquet=update("results/compare/{comparison}/summary.parquet"),
        objects_table=update("results/compare/{comparison}/objects.csv"),
        summary_table=update("results/compare/{comparison}/summary.csv"),
        figure=update("results/compare/{comparison}/figure.png"),
    log:
        "logs/compare/{comparison}.log",
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime="4h",
    params:
        name=lambda wildcards: wildcards.comparison,
        of=comparison_setting("of"),
        match=comparison_setting("match"),
        seed=config["seed"],
        revision=1,
    script:
        "../../scripts/compare.py"

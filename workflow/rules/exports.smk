"""Objects for other programs."""


rule export_objects:
    input:
        objects="results/{dataset}/iter_{iteration}/objects.zarr",
        index="results/{dataset}/iter_{iteration}/objects_index.csv",
        centrelines="results/{dataset}/iter_{iteration}/tables/centrelines.parquet",
    output:
        exports=directory("results/{dataset}/iter_{iteration}/exports"),
    log:
        "logs/{dataset}/iter_{iteration}/export_objects.log",
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime="4h",
    params:
        formats=setting("export"),
        files=setting("export_files"),
        revision=1,
    script:
        "../../scripts/export_objects.py"

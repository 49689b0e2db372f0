"""How good an iteration is, where it is worst, and what is handed out for correction."""


rule evaluate:
    input:
        probability="results/{dataset}/iter_{iteration}/probability.zarr",
        annotations="results/{dataset}/iter_{iteration}/annotations.zarr",
        rounds="results/{dataset}/iter_{iteration}/annotation_rounds.zarr",
        previous_probability=earlier("probability.zarr"),
        earlier=earlier("evaluation.csv"),
    output:
        evaluation="results/{dataset}/iter_{iteration}/evaluation.csv",
        evaluation_parquet="results/{dataset}/iter_{iteration}/evaluation.parquet",
    log:
        "logs/{dataset}/iter_{iteration}/evaluate.log",
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=8000,
        runtime="2h",
    params:
        threshold=setting("threshold"),
        held_out_slices=setting("held_out_slices"),
        iteration=lambda wildcards: int(wildcards.iteration),
        revision=3,
    script:
        "../../scripts/evaluate.py"


rule rank_slices:
    input:
        probability="results/{dataset}/iter_{iteration}/probability.zarr",
        annotations="results/{dataset}/iter_{iteration}/annotations.zarr",
        votes="results/{dataset}/iter_{iteration}/votes.zarr",
    output:
        worklist="results/{dataset}/iter_{iteration}/worklist.tsv",
        worklist_parquet="results/{dataset}/iter_{iteration}/worklist.parquet",
        slices="results/{dataset}/iter_{iteration}/slices.tsv",
        slices_parquet="results/{dataset}/iter_{iteration}/slices.parquet",
    log:
        "logs/{dataset}/iter_{iteration}/rank_slices.log",
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=8000,
        runtime="4h",
    params:
        settings=setting("corrections"),
        held_out_slices=setting("held_out_slices"),
        threshold=setting("threshold"),
        seed=config["seed"],
        revision=4,
    script:
        "../../scripts/rank_slices.py"


rule export_corrections:
    input:
        worklist="results/{dataset}/iter_{iteration}/worklist.tsv",
        image=image_of,
        probability="results/{dataset}/iter_{iteration}/probability.zarr",
    output:
        # an index, not the folder: what people saved in it must not be deleted by a rerun
        corrections="results/{dataset}/iter_{iteration}/corrections/places.json",
    log:
        "logs/{dataset}/iter_{iteration}/export_corrections.log",
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=8000,
        runtime="1h",
    params:
        threshold=setting("threshold"),
        settings=setting("corrections"),
        revision=3,
    script:
        "../../scripts/export_corrections.py"

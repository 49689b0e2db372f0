"""The page to look at, and the record of how the iteration came about."""


rule manifest:
    input:
        results=digested,
    output:
        manifest="results/{dataset}/iter_{iteration}/manifest.json",
    log:
        "logs/{dataset}/iter_{iteration}/manifest.log",
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    params:
        settings=lambda wildcards: {
            "dataset": of(wildcards),
            "denoiser": config["denoisers"].get(of(wildcards)["denoiser"]),
        },
        dataset=lambda wildcards: wildcards.dataset,
        iteration=lambda wildcards: int(wildcards.iteration),
        seed=config["seed"],
        inputs=sources,
        logs=logs_of,
    script:
        "../../scripts/manifest.py"


rule report:
    input:
        unpack(results_of),
        manifest="results/{dataset}/iter_{iteration}/manifest.json",
        earlier=earlier_manifests,
    output:
        report="results/{dataset}/iter_{iteration}/report.html",
        figures=directory("results/{dataset}/iter_{iteration}/figures"),
    log:
        "logs/{dataset}/iter_{iteration}/report.log",
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=4000,
    params:
        dataset=lambda wildcards: wildcards.dataset,
        iteration=lambda wildcards: int(wildcards.iteration),
        held_out_slices=setting("held_out_slices"),
        threshold=setting("threshold"),
        commands=next_round,
        revision=4,
    script:
        "../../scripts/report.py"


# Beside the iterations, and made anew from what they left; it writes in none of them.
rule iterations:
    input:
        manifests=all_manifests,
    output:
        table="results/{dataset}/iterations.csv",
        table_parquet="results/{dataset}/iterations.parquet",
        figure="results/{dataset}/iterations.png",
    log:
        "logs/{dataset}/iterations.log",
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    params:
        revision=2,
    script:
        "../../scripts/iterations.py"

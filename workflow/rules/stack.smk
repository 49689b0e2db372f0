"""From the file or folder of a stack to one volume."""


rule check_stack:
    input:
        stack=entry_file("stack"),
    output:
        # a rule of its own: where the stack is at fault, what was made of it before stays
        checked="results/{dataset}/stack/checked.json",
    log:
        "logs/{dataset}/check_stack.log",
    priority: 50
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime="2h",
    params:
        stack=setting("stack"),
        voxel_size_nm=setting("voxel_size_nm"),
        dataset=lambda wildcards: wildcards.dataset,
        revision=1,
    script:
        "../../scripts/check_stack.py"


rule import_stack:
    input:
        checked="results/{dataset}/stack/checked.json",
    output:
        raw=directory("results/{dataset}/stack/raw.zarr"),
    log:
        "logs/{dataset}/import_stack.log",
    benchmark:
        "logs/{dataset}/import_stack.benchmark.tsv"
    priority: 50
    conda:
        "../../envs/cpu.yaml"
    threads: 2
    resources:
        mem_mb=4000,
        runtime="12h",
    params:
        stack=setting("stack"),
        voxel_size_nm=setting("voxel_size_nm"),
        dataset=lambda wildcards: wildcards.dataset,
        revision=1,
    script:
        "../../scripts/import_stack.py"

"""From probability, or from labels and objects made elsewhere, to tables of objects."""


rule import_labels:
    input:
        labels_in=entry_file("labels"),
    output:
        labels=directory("results/{dataset}/iter_{iteration}/labels.zarr"),
    log:
        "logs/{dataset}/iter_{iteration}/import_labels.log",
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime="4h",
    params:
        labels_in=setting("labels"),
        classes=setting("classes"),
        voxel_size_nm=setting("voxel_size_nm"),
        dataset=lambda wildcards: wildcards.dataset,
        revision=1,
    script:
        "../../scripts/import_labels.py"


rule separate_slab:
    input:
        unpack(separable),
        boundary=boundary_of,
    output:
        local=temp(directory("results/{dataset}/iter_{iteration}/objects.slabs/{slab}-of-{slabs}")),
    log:
        "logs/{dataset}/iter_{iteration}/separate_slab/{slab}-of-{slabs}.log",
    benchmark:
        "logs/{dataset}/iter_{iteration}/separate_slab/{slab}-of-{slabs}.benchmark.tsv"
    retries: 1
    conda:
        "../../envs/cpu.yaml"
    threads: 2
    resources:
        mem_mb=4000,
        runtime="12h",
    params:
        settings=lambda wildcards: {
            "method": of(wildcards)["separate"],
            "threshold": of(wildcards)["threshold"],
            "merge_ratio": of(wildcards)["merge_ratio"],
            "max_radius_nm": of(wildcards)["max_radius_nm"],
            "slices": slices_settings(wildcards, "merge_ratio", "h_maxima_px"),
        },
        slab=lambda wildcards: int(wildcards.slab),
        slabs=lambda wildcards: int(wildcards.slabs),
        revision=1,
    script:
        "../../scripts/separate_slab.py"


rule separate_objects:
    input:
        unpack(separable),
        slabs=slabs_of("results/{{dataset}}/iter_{{iteration}}/objects.slabs/{slab}-of-{slabs}"),
    output:
        objects=directory("results/{dataset}/iter_{iteration}/objects.zarr"),
        index="results/{dataset}/iter_{iteration}/objects_index.csv",
        index_parquet="results/{dataset}/iter_{iteration}/objects_index.parquet",
        links="results/{dataset}/iter_{iteration}/tables/links.csv",
        links_parquet="results/{dataset}/iter_{iteration}/tables/links.parquet",
    log:
        "logs/{dataset}/iter_{iteration}/separate_objects.log",
    benchmark:
        "logs/{dataset}/iter_{iteration}/separate_objects.benchmark.tsv"
    wildcard_constraints:
        dataset=entering("stack", "labels"),
    retries: 1
    conda:
        "../../envs/cpu.yaml"
    threads: 2
    resources:
        mem_mb=8000,
        runtime="12h",
    params:
        min_volume_um3=setting("min_volume_um3"),
        slices=lambda wildcards: slices_settings(wildcards, "max_gap", "min_area_nm2"),
        revision=6,
    script:
        "../../scripts/separate_objects.py"


rule import_objects:
    input:
        objects_in=entry_file("objects"),
    output:
        objects=directory("results/{dataset}/iter_{iteration}/objects.zarr"),
        index="results/{dataset}/iter_{iteration}/objects_index.csv",
        index_parquet="results/{dataset}/iter_{iteration}/objects_index.parquet",
    log:
        "logs/{dataset}/iter_{iteration}/import_objects.log",
    wildcard_constraints:
        dataset=entering("objects"),
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime="4h",
    params:
        objects_in=setting("objects"),
        classes=setting("classes"),
        voxel_size_nm=setting("voxel_size_nm"),
        dataset=lambda wildcards: wildcards.dataset,
        revision=1,
    script:
        "../../scripts/import_objects.py"


rule measure_slab:
    input:
        objects="results/{dataset}/iter_{iteration}/objects.zarr",
        index="results/{dataset}/iter_{iteration}/objects_index.csv",
        image=lambda wildcards: image_of(wildcards) if "stack" in of(wildcards) else [],
    output:
        part=temp(directory("results/{dataset}/iter_{iteration}/tables.slabs/{slab}-of-{slabs}")),
    log:
        "logs/{dataset}/iter_{iteration}/measure_slab/{slab}-of-{slabs}.log",
    benchmark:
        "logs/{dataset}/iter_{iteration}/measure_slab/{slab}-of-{slabs}.benchmark.tsv"
    retries: 1
    conda:
        "../../envs/cpu.yaml"
    threads: 2
    resources:
        mem_mb=4000,
        runtime="12h",
    params:
        slab=lambda wildcards: int(wildcards.slab),
        slabs=lambda wildcards: int(wildcards.slabs),
        revision=7,
    script:
        "../../scripts/measure_slab.py"


rule measure_pairs:
    input:
        objects="results/{dataset}/iter_{iteration}/objects.zarr",
        index="results/{dataset}/iter_{iteration}/objects_index.csv",
    output:
        part=temp(directory("results/{dataset}/iter_{iteration}/pairs.slabs/{slab}-of-{slabs}")),
    log:
        "logs/{dataset}/iter_{iteration}/measure_pairs/{slab}-of-{slabs}.log",
    benchmark:
        "logs/{dataset}/iter_{iteration}/measure_pairs/{slab}-of-{slabs}.benchmark.tsv"
    retries: 1
    conda:
        "../../envs/cpu.yaml"
    threads: 2
    resources:
        mem_mb=4000,
        runtime="12h",
    params:
        settings=lambda wildcards: {"neighbours": of(wildcards)["neighbours"]},
        slab=lambda wildcards: int(wildcards.slab),
        slabs=lambda wildcards: int(wildcards.slabs),
        revision=2,
    script:
        "../../scripts/measure_pairs.py"


rule measure_objects:
    input:
        parts=slabs_of("results/{{dataset}}/iter_{{iteration}}/tables.slabs/{slab}-of-{slabs}"),
        pairs=slabs_of("results/{{dataset}}/iter_{{iteration}}/pairs.slabs/{slab}-of-{slabs}"),
        index="results/{dataset}/iter_{iteration}/objects_index.csv",
        objects="results/{dataset}/iter_{iteration}/objects.zarr",
    output:
        objects_parquet="results/{dataset}/iter_{iteration}/tables/objects.parquet",
        contacts_parquet="results/{dataset}/iter_{iteration}/tables/contacts.parquet",
        neighbours_parquet="results/{dataset}/iter_{iteration}/tables/neighbours.parquet",
        summary_parquet="results/{dataset}/iter_{iteration}/tables/summary.parquet",
        diameters_parquet="results/{dataset}/iter_{iteration}/tables/diameters.parquet",
        radial_parquet="results/{dataset}/iter_{iteration}/tables/radial_distribution.parquet",
        cross_sections_parquet="results/{dataset}/iter_{iteration}/tables/cross_sections.parquet",
        centrelines_parquet="results/{dataset}/iter_{iteration}/tables/centrelines.parquet",
        objects_table="results/{dataset}/iter_{iteration}/tables/objects.csv",
        contacts_table="results/{dataset}/iter_{iteration}/tables/contacts.csv",
        neighbours_table="results/{dataset}/iter_{iteration}/tables/neighbours.csv",
        summary_table="results/{dataset}/iter_{iteration}/tables/summary.csv",
        diameters_table="results/{dataset}/iter_{iteration}/tables/diameters.csv",
        radial_table="results/{dataset}/iter_{iteration}/tables/radial_distribution.csv",
        cross_sections_table="results/{dataset}/iter_{iteration}/tables/cross_sections.csv",
        centrelines_table="results/{dataset}/iter_{iteration}/tables/centrelines.csv",
    log:
        "logs/{dataset}/iter_{iteration}/measure_objects.log",
    benchmark:
        "logs/{dataset}/iter_{iteration}/measure_objects.benchmark.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 2
    resources:
        mem_mb=8000,
        runtime="4h",
    params:
        intensity=lambda wildcards: "stack" in of(wildcards),
        revision=7,
    script:
        "../../scripts/measure_objects.py"


rule compare_truth:
    input:
        objects="results/{dataset}/iter_{iteration}/objects.zarr",
        objects_table="results/{dataset}/iter_{iteration}/tables/objects.csv",
        probability=lambda wildcards: separable(wildcards).get("probability", []),
        truth_objects=lambda wildcards: of(wildcards)["truth"]["objects"],
        truth_table=lambda wildcards: of(wildcards)["truth"]["table"],
    output:
        truth_parquet="results/{dataset}/iter_{iteration}/tables/truth.parquet",
        truth_matches_parquet="results/{dataset}/iter_{iteration}/tables/truth_matches.parquet",
        comparison="results/{dataset}/iter_{iteration}/tables/truth.csv",
        matches="results/{dataset}/iter_{iteration}/tables/truth_matches.csv",
    log:
        "logs/{dataset}/iter_{iteration}/compare_truth.log",
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime="2h",
    params:
        threshold=setting("threshold"),
        min_volume_um3=setting("min_volume_um3"),
        revision=1,
    script:
        "../../scripts/compare_truth.py"

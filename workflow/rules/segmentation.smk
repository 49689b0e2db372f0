"""From annotations to class probabilities of the whole stack."""


rule import_annotations:
    input:
        files=ancient(annotation_files),
        raw="results/{dataset}/stack/raw.zarr",
    output:
        # update: where an annotation is at fault, what was imported before comes back
        annotations=update(directory("results/{dataset}/iter_{iteration}/annotations.zarr")),
        rounds=update(directory("results/{dataset}/iter_{iteration}/annotation_rounds.zarr")),
        table=update("results/{dataset}/iter_{iteration}/annotations.tsv"),
        table_parquet=update("results/{dataset}/iter_{iteration}/annotations.parquet"),
        report=update("results/{dataset}/iter_{iteration}/import_report.tsv"),
        report_parquet=update("results/{dataset}/iter_{iteration}/import_report.parquet"),
    log:
        "logs/{dataset}/iter_{iteration}/import_annotations.log",
    priority: 50
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=8000,
        runtime="1h",
    params:
        folder=setting("annotations"),
        iteration=lambda wildcards: int(wildcards.iteration),
        classes=setting("classes"),
        held_out_slices=setting("held_out_slices"),
        class_priority=setting("class_priority"),
        digests=annotation_digests,
        # a class called background had been a class like others
        revision=lambda wildcards: 4 + (object_classes(wildcards) != of(wildcards)["classes"]),
    script:
        "../../scripts/import_annotations.py"


rule choose_segmentation_patches:
    input:
        raw="results/{dataset}/stack/raw.zarr",
        annotations="results/{dataset}/iter_{iteration}/annotations.zarr",
        rounds="results/{dataset}/iter_{iteration}/annotation_rounds.zarr",
    output:
        table="results/{dataset}/iter_{iteration}/patches.tsv",
        table_parquet="results/{dataset}/iter_{iteration}/patches.parquet",
    log:
        "logs/{dataset}/iter_{iteration}/choose_segmentation_patches.log",
    priority: 50
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime="1h",
    params:
        settings=setting("patches"),
        folder=setting("annotations"),
        context=setting("context"),
        network=pooling_of,
        classes=object_classes,
        held_out_slices=setting("held_out_slices"),
        seed=config["seed"],
        revision=4,
    script:
        "../../scripts/choose_segmentation_patches.py"


rule extract_segmentation_patches:
    input:
        image=image_of,
        annotations="results/{dataset}/iter_{iteration}/annotations.zarr",
        table="results/{dataset}/iter_{iteration}/patches.tsv",
    output:
        patches=directory("results/{dataset}/iter_{iteration}/patches.zarr"),
    log:
        "logs/{dataset}/iter_{iteration}/extract_segmentation_patches.log",
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=8000,
        runtime="1h",
    params:
        context=setting("context"),
        classes=object_classes,
        held_out_slices=setting("held_out_slices"),
        revision=3,
    script:
        "../../scripts/extract_segmentation_patches.py"


rule train_segmenter:
    input:
        patches="results/{dataset}/iter_{iteration}/patches.zarr",
    output:
        # update: if the training fails, the network of before comes back
        model=update("results/{dataset}/iter_{iteration}/segmenter/model.pt"),
        history=update("results/{dataset}/iter_{iteration}/segmenter/history.tsv"),
        history_parquet=update("results/{dataset}/iter_{iteration}/segmenter/history.parquet"),
    log:
        "logs/{dataset}/iter_{iteration}/train_segmenter.log",
    benchmark:
        "logs/{dataset}/iter_{iteration}/train_segmenter.benchmark.tsv"
    retries: 1
    conda:
        "../../envs/gpu.yaml"
    threads: 8
    resources:
        gpu=1,
        mem_mb=16000,
        runtime="12h",
    params:
        settings=setting("network", "training", "augmentation", "views", "boundary", "calibration"),
        seed=config["seed"],
        revision=6,
    script:
        "../../scripts/train_segmenter.py"


rule predict_slab:
    input:
        image=image_of,
        model=segmenter_of,
    output:
        probability=temp(
            directory(
                "results/{dataset}/iter_{iteration}/probability.slabs/{slab}-of-{slabs}.zarr"
            )
        ),
        # these two are empty unless the network learnt boundaries, or is an ensemble
        boundary=temp(
            directory("results/{dataset}/iter_{iteration}/boundary.slabs/{slab}-of-{slabs}.zarr")
        ),
        votes=temp(
            directory("results/{dataset}/iter_{iteration}/votes.slabs/{slab}-of-{slabs}.zarr")
        ),
    log:
        "logs/{dataset}/iter_{iteration}/predict_slab/{slab}-of-{slabs}.log",
    benchmark:
        "logs/{dataset}/iter_{iteration}/predict_slab/{slab}-of-{slabs}.benchmark.tsv"
    retries: 1
    conda:
        "../../envs/gpu.yaml"
    threads: 8
    resources:
        gpu=1,
        mem_mb=8000,
        runtime="12h",
    params:
        classes=object_classes,
        size=own_network,
        slab=lambda wildcards: int(wildcards.slab),
        slabs=lambda wildcards: int(wildcards.slabs),
        revision=2,
    script:
        "../../scripts/predict_slab.py"


rule predict:
    input:
        slabs=slabs_of(
            "results/{{dataset}}/iter_{{iteration}}/probability.slabs/{slab}-of-{slabs}.zarr"
        ),
        boundary_slabs=slabs_of(
            "results/{{dataset}}/iter_{{iteration}}/boundary.slabs/{slab}-of-{slabs}.zarr"
        ),
        votes_slabs=slabs_of(
            "results/{{dataset}}/iter_{{iteration}}/votes.slabs/{slab}-of-{slabs}.zarr"
        ),
    output:
        volume=directory("results/{dataset}/iter_{iteration}/probability.zarr"),
        boundary=directory("results/{dataset}/iter_{iteration}/boundary.zarr"),
        votes=directory("results/{dataset}/iter_{iteration}/votes.zarr"),
    log:
        "logs/{dataset}/iter_{iteration}/predict.log",
    localrule: True
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    script:
        "../../scripts/predict.py"

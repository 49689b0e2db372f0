"""From pairs of short- and long-dwell images to a network, and from raw stack to denoised."""


rule register_pairs:
    input:
        pair_images,
        pairs=lambda wildcards: config["denoisers"][wildcards.denoiser]["pairs"],
    output:
        table="results/denoisers/{denoiser}/registration.tsv",
        table_parquet="results/denoisers/{denoiser}/registration.parquet",
        figure="results/denoisers/{denoiser}/registration.png",
        registered=directory("results/denoisers/{denoiser}/pairs"),
    log:
        "logs/denoisers/{denoiser}/register_pairs.log",
    benchmark:
        "logs/denoisers/{denoiser}/register_pairs.benchmark.tsv"
    priority: 50
    conda:
        "../../envs/cpu.yaml"
    threads: 2
    resources:
        mem_mb=4000,
        runtime="1h",
    params:
        settings=denoiser_settings(
            "max_shift_fraction",
            "min_correlation",
            "max_residual_px",
            "max_blur_px",
            "max_clipped",
        ),
        rescale_to_nm=lambda wildcards: config["denoisers"][wildcards.denoiser]["rescale_to_nm"],
        revision=3,
    script:
        "../../scripts/register_pairs.py"


rule extract_denoising_patches:
    input:
        table="results/denoisers/{denoiser}/registration.tsv",
        registered="results/denoisers/{denoiser}/pairs",
    output:
        patches=directory("results/denoisers/{denoiser}/patches.zarr"),
        split_table="results/denoisers/{denoiser}/split.tsv",
        split_parquet="results/denoisers/{denoiser}/split.parquet",
    log:
        "logs/denoisers/{denoiser}/extract_denoising_patches.log",
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime="30m",
    params:
        settings=denoiser_settings("refused_pairs", "validation_pairs", "test_pairs", "patch_size"),
        revision=2,
    script:
        "../../scripts/extract_denoising_patches.py"


rule estimate_noise:
    input:
        registered="results/denoisers/{denoiser}/pairs",
        split_table="results/denoisers/{denoiser}/split.tsv",
    output:
        noise="results/denoisers/{denoiser}/noise.json",
        figure="results/denoisers/{denoiser}/noise.png",
    log:
        "logs/denoisers/{denoiser}/estimate_noise.log",
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime="30m",
    params:
        revision=1,
    script:
        "../../scripts/estimate_noise.py"


rule train_denoiser:
    input:
        patches="results/denoisers/{denoiser}/patches.zarr",
        registered="results/denoisers/{denoiser}/pairs",
        split_table="results/denoisers/{denoiser}/split.tsv",
        noise="results/denoisers/{denoiser}/noise.json",
    output:
        model="results/denoisers/{denoiser}/model.pt",
        history="results/denoisers/{denoiser}/history.tsv",
        history_parquet="results/denoisers/{denoiser}/history.parquet",
        scores="results/denoisers/{denoiser}/scores.csv",
        scores_parquet="results/denoisers/{denoiser}/scores.parquet",
        figure="results/denoisers/{denoiser}/denoised_pairs.png",
        residuals="results/denoisers/{denoiser}/residuals.png",
    log:
        "logs/denoisers/{denoiser}/train_denoiser.log",
    benchmark:
        "logs/denoisers/{denoiser}/train_denoiser.benchmark.tsv"
    retries: 1
    conda:
        "../../envs/gpu.yaml"
    threads: 8
    resources:
        gpu=1,
        mem_mb=16000,
        runtime="8h",
    params:
        settings=denoiser_settings("network", "training", "augmentation", "extra_noise", "views"),
        seed=config["seed"],
        revision=3,
    script:
        "../../scripts/train_denoiser.py"


rule plan_dwell_time:
    input:
        patches="results/denoisers/{denoiser}/patches.zarr",
        registered="results/denoisers/{denoiser}/pairs",
        split_table="results/denoisers/{denoiser}/split.tsv",
        noise="results/denoisers/{denoiser}/noise.json",
    output:
        table="results/denoisers/{denoiser}/dwell_time.csv",
        table_parquet="results/denoisers/{denoiser}/dwell_time.parquet",
        figure="results/denoisers/{denoiser}/dwell_time.png",
    log:
        "logs/denoisers/{denoiser}/plan_dwell_time.log",
    retries: 1
    conda:
        "../../envs/gpu.yaml"
    threads: 8
    resources:
        gpu=1,
        mem_mb=16000,
        runtime="8h",
    params:
        settings=denoiser_settings("network", "training", "augmentation", "views"),
        seed=config["seed"],
        revision=2,
    script:
        "../../scripts/plan_dwell_time.py"


rule train_self_supervised:
    input:
        raw="results/{dataset}/stack/raw.zarr",
    output:
        model="results/{dataset}/denoiser/model.pt",
        history="results/{dataset}/denoiser/history.tsv",
        history_parquet="results/{dataset}/denoiser/history.parquet",
    log:
        "logs/{dataset}/train_self_supervised.log",
    benchmark:
        "logs/{dataset}/train_self_supervised.benchmark.tsv"
    retries: 1
    conda:
        "../../envs/gpu.yaml"
    threads: 8
    resources:
        gpu=1,
        mem_mb=16000,
        runtime="8h",
    params:
        settings=setting("self_supervised"),
        seed=config["seed"],
        revision=1,
    script:
        "../../scripts/train_self_supervised.py"


rule check_denoiser:
    input:
        stack="results/{dataset}/stack/checked.json",
        registration=lambda wildcards: (
            f"results/denoisers/{of(wildcards)['denoiser']}/registration.tsv"
        ),
    output:
        # a rule of its own: pairs at another pixel size stop the run before a network is trained
        checked="results/{dataset}/stack/denoiser_checked.json",
    log:
        "logs/{dataset}/check_denoiser.log",
    priority: 50
    localrule: True
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    params:
        dataset=lambda wildcards: wildcards.dataset,
        denoiser=lambda wildcards: of(wildcards)["denoiser"],
        revision=1,
    script:
        "../../scripts/check_denoiser.py"


rule denoise_slab:
    input:
        lambda wildcards: (
            f"results/{wildcards.dataset}/stack/denoiser_checked.json"
            if of(wildcards)["denoiser"] in PAIRS
            else []
        ),
        raw="results/{dataset}/stack/raw.zarr",
        model=lambda wildcards: f"{denoiser_folder(wildcards.dataset)}/model.pt",
    output:
        denoised=temp(directory("results/{dataset}/stack/denoised.slabs/{slab}-of-{slabs}.zarr")),
    log:
        "logs/{dataset}/denoise_slab/{slab}-of-{slabs}.log",
    benchmark:
        "logs/{dataset}/denoise_slab/{slab}-of-{slabs}.benchmark.tsv"
    retries: 1
    conda:
        "../../envs/gpu.yaml"
    threads: 8
    resources:
        gpu=1,
        mem_mb=8000,
        runtime="12h",
    params:
        slab=lambda wildcards: int(wildcards.slab),
        slabs=lambda wildcards: int(wildcards.slabs),
        revision=2,
    script:
        "../../scripts/denoise_slab.py"


rule denoise:
    input:
        slabs=slabs_of("results/{{dataset}}/stack/denoised.slabs/{slab}-of-{slabs}.zarr"),
    output:
        volume=directory("results/{dataset}/stack/denoised.zarr"),
    log:
        "logs/{dataset}/denoise.log",
    localrule: True
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    script:
        "../../scripts/join_slabs.py"

"""What report and manifest are made from; it differs between datasets."""


def existing(wildcards, **parts):
    """Those ``parts`` (name: path, or None) that this dataset has."""
    return {name: path.format(**dict(wildcards.items())) for name, path in parts.items() if path}


def results_of(wildcards):
    """Input function: what the manifest digests and the report shows of this dataset."""
    dataset, folder = of(wildcards), "results/{dataset}/iter_{iteration}"
    stack, denoiser = "stack" in dataset, dataset["denoiser"]
    denoised = denoiser_folder(wildcards.dataset) if stack and denoiser else None
    paired = denoised if denoiser in PAIRS else None
    trained = wildcards.dataset in ROUNDS
    return existing(
        wildcards,
        raw=stack and "results/{dataset}/stack/raw.zarr",
        denoised=denoised and "results/{dataset}/stack/denoised.zarr",
        registration=paired and f"{paired}/registration.tsv",
        registration_figure=paired and f"{paired}/registration.png",
        noise=paired and f"{paired}/noise.json",
        noise_figure=paired and f"{paired}/noise.png",
        denoiser_history=denoised and f"{denoised}/history.tsv",
        denoiser_scores=paired and f"{paired}/scores.csv",
        annotations=trained and f"{folder}/annotations.zarr",
        import_report=trained and f"{folder}/import_report.tsv",
        patches_table=trained and f"{folder}/patches.tsv",
        history=trained and f"{folder}/segmenter/history.tsv",
        probability=stack and f"{folder}/probability.zarr",
        evaluation=trained and f"{folder}/evaluation.csv",
        worklist=trained and f"{folder}/worklist.tsv",
        objects=f"{folder}/objects.zarr",
        objects_table=f"{folder}/tables/objects.csv",
        contacts_table=f"{folder}/tables/contacts.csv",
        neighbours_table=f"{folder}/tables/neighbours.csv",
        summary_table=f"{folder}/tables/summary.csv",
        diameters_table=f"{folder}/tables/diameters.csv",
        radial_table=f"{folder}/tables/radial_distribution.csv",
        truth=dataset["truth"] and f"{folder}/tables/truth.csv",
    )


def digested(wildcards):
    """Input function: tables and networks whose digests are kept."""
    named = results_of(wildcards)
    files = [path for path in named.values() if path.endswith((".csv", ".tsv"))]
    if "stack" in of(wildcards):
        files.append(segmenter_of(wildcards))
    if named.get("denoised"):
        files.append(f"{denoiser_folder(wildcards.dataset)}/model.pt")
    return files


def sources(wildcards):
    """Files and folders from outside that this iteration was made from."""
    dataset = of(wildcards)
    files = [
        dataset[key].split(":/")[0] for key in ("stack", "labels", "objects") if key in dataset
    ]
    if wildcards.dataset in ROUNDS:
        files += annotation_files(wildcards)
    if dataset["denoiser"] in PAIRS:
        files.append(config["denoisers"][dataset["denoiser"]]["pairs"])
        files += PAIRS[dataset["denoiser"]][["noisy", "clean"]].to_numpy().ravel().tolist()
    return files


def manifests_of(name, others):
    """Manifests of the iterations ``others`` of a dataset that are on disk, as they lie there."""
    paths = [f"results/{name}/iter_{number:02d}/manifest.json" for number in others]
    return [ancient(before_update(path)) for path in paths if Path(path).is_file()]


def earlier_manifests(wildcards):
    """Input function: those of the iterations before this one, which the report tells of."""
    if wildcards.dataset not in ROUNDS:
        return []
    return manifests_of(wildcards.dataset, range(int(wildcards.iteration)))


def all_manifests(wildcards):
    """Input function: that of the iteration made now, and those of all others as they lie there.

    The same set whichever of them is made, so that to name another makes nothing again.
    """
    name, now = wildcards.dataset, iteration_of(wildcards.dataset)
    others = [number for number in range(100) if number != now]
    return [f"results/{name}/iter_{now:02d}/manifest.json", *manifests_of(name, others)]


# as named on the command line, so that the report shows the command that goes on with it
CONFIGFILES = [str(path) for path in workflow.overwrite_configfiles or []]


def logs_of(wildcards):
    """Folders with the benchmark files of what this iteration was made by."""
    denoiser = of(wildcards)["denoiser"]
    return [
        f"logs/{wildcards.dataset}",
        *([f"logs/denoisers/{denoiser}"] if denoiser in PAIRS else []),
    ]


def next_round(wildcards):
    """What to type for the next iteration; nothing where no network is trained."""
    if wildcards.dataset not in ROUNDS:
        return []
    folder = f"results/{wildcards.dataset}/iter_{wildcards.iteration}/corrections"
    following = Path(of(wildcards)["annotations"], f"{int(wildcards.iteration) + 1:02d}")
    return [
        f"cd {folder}/zNNNN && Seg3D2 --python=open_in_seg3d.py   # correct, then save_corrections()",
        f"mkdir -p {following} && cp -r {folder}/z* {following}/",
        "snakemake --cores all" + "".join(f" --configfile {f}" for f in CONFIGFILES),
    ]

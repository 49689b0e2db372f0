"""What the rules share: the checked configuration, and which files a dataset has."""

import re
import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(workflow.basedir) / "scripts"))

from blockface import at_work, classes, references, round_files
from blockface import configuration as conf
from blockface.errors import InputError
from blockface.pairs import read_pairs
from snakemake.exceptions import WorkflowError


wildcard_constraints:
    dataset=r"[^/]+",
    denoiser=r"[^/]+",
    comparison=r"[^/]+",
    iteration=r"\d{2}",
    slab=r"\d+",
    slabs=r"\d+",


# A run that was killed leaves Snakemake's locks behind. They go if nobody is at work here any more;
# after a run on a cluster that cannot be known: its jobs may still be waiting there.
if workflow.is_main_process and any(Path(".snakemake/locks").glob("*.lock")):
    if at_work.alone() and at_work.RUN.read_text() == "local":
        shutil.rmtree(".snakemake/locks")
at_work.begin(at_work.RUN)


onstart:
    # what a killed run had kept of files it was updating; the next update would stumble over it
    shutil.rmtree(".snakemake/backups", ignore_errors=True)
    at_work.RUN.write_text("local" if workflow.local_exec else "cluster")


def told(function, *arguments):
    """What ``function`` returns; a mistake of the user ends the run with its one line."""
    try:
        return function(*arguments)
    except InputError as error:
        raise WorkflowError(str(error)) from None


SETTINGS = ", ".join(map(str, workflow.overwrite_configfiles or ["config/config.yaml"]))
told(
    conf.complete,
    config,
    conf.load_schema(str(Path(workflow.basedir, "workflow/schemas/config.schema.yaml"))),
    SETTINGS,
)
told(conf.check_names, config, SETTINGS)
for dataset in config["datasets"].values():
    for kind in {"stack", "labels", "objects"} & dataset.keys():
        dataset[kind] = dataset[kind].rstrip("/")
PAIRS = {name: told(read_pairs, d["pairs"]) for name, d in config["denoisers"].items()}
for name, pairs in PAIRS.items():
    told(conf.check_pairs, name, config["denoisers"][name], len(pairs), SETTINGS)
ROUNDS = {
    name: told(round_files.rounds, d["annotations"])
    for name, d in config["datasets"].items()
    if d["annotations"]
}


NEWEST = {name: found[-1] for name, found in ROUNDS.items()}
if workflow.is_main_process:
    for name in ROUNDS:
        for other in round_files.no_rounds(config["datasets"][name]["annotations"]):
            folder = Path(config["datasets"][name]["annotations"], other)
            print(
                f"{folder}: no round, as its name is not of two digits; left out", file=sys.stderr
            )
told(references.check_segmenters, config, NEWEST, SETTINGS)
COMPARED = told(references.comparisons, config, NEWEST, SETTINGS)


def of(wildcards):
    """Configuration of the dataset."""
    return config["datasets"][wildcards.dataset]


def setting(*keys):
    """Params function: the named settings of the dataset (one key: its value; more: a dict)."""

    def find(wildcards):
        dataset = of(wildcards)
        return dataset[keys[0]] if len(keys) == 1 else {key: dataset[key] for key in keys}

    return find


def object_classes(wildcards):
    """Value and name of each class of the dataset; the background of its label maps is none."""
    return classes.object_classes(of(wildcards)["classes"])


def slices_settings(wildcards, *keys):
    """Settings of cross-sections of the dataset; none where no class is separated by slices."""
    how = of(wildcards)["separate"]
    used = "slices" in (how.values() if isinstance(how, dict) else [how])
    return {key: of(wildcards)["slices"][key] for key in keys if used}


def denoiser_settings(*keys):
    """Params function: the named settings of the denoiser."""
    return lambda wildcards: {key: config["denoisers"][wildcards.denoiser][key] for key in keys}


def denoiser_folder(name):
    """Folder of the network that denoises a dataset: a denoiser's, or the dataset's own."""
    denoiser = config["datasets"][name]["denoiser"]
    own = denoiser == "self_supervised"
    return f"results/{name}/denoiser" if own else f"results/denoisers/{denoiser}"


def iteration_of(name):
    """Iteration to make of a dataset: the one asked for, else the newest that has a round."""
    if name not in ROUNDS:
        return 0
    newest, asked = NEWEST[name], config["iteration"]
    return newest if asked is None else min(asked, newest)


def left_out():
    """Datasets that are not as far as the iteration asked for, if another one is: left alone."""
    asked = config["iteration"]
    behind = [name for name, newest in NEWEST.items() if asked is not None and asked > newest]
    if behind and len(behind) == len(NEWEST):
        name, newest = max(NEWEST.items(), key=lambda entry: entry[1])
        folder = Path(config["datasets"][name]["annotations"], f"{asked:02d}")
        raise WorkflowError(
            f"iteration {asked} of {name}: {folder} not found, the newest round is "
            f"{newest:02d}; put the annotations there first"
        )
    return behind


LEFT_OUT = left_out()
if workflow.is_main_process:
    for name in LEFT_OUT:
        print(f"{name}: no round {config['iteration']:02d}; left alone", file=sys.stderr)


def segmented(name):
    """Whether a dataset goes on beyond its denoised stack."""
    dataset = config["datasets"][name]
    return "stack" not in dataset or dataset["annotations"] or dataset["segmenter"]


def targets():
    """Files that a plain run makes: a report per dataset, or its stack if that is all it asks."""
    files, used = [], {d["denoiser"] for d in config["datasets"].values()}
    for name, dataset in config["datasets"].items():
        if name in LEFT_OUT:
            continue
        folder = f"results/{name}/iter_{iteration_of(name):02d}"
        if segmented(name):
            files.append(f"{folder}/report.html")
            files += [f"{folder}/exports"] if dataset["export"] else []
        else:
            kind = "denoised" if dataset["denoiser"] else "raw"
            files.append(f"results/{name}/stack/{kind}.zarr")
        if name in ROUNDS:
            files += [f"{folder}/worklist.tsv", f"{folder}/corrections/places.json"]
            files.append(f"results/{name}/iterations.csv")
    files += [f"results/compare/{name}/summary.csv" for name in COMPARED]
    files += [f"results/denoisers/{d}/model.pt" for d in config["denoisers"] if d not in used]
    return files


def entering(*kinds):
    """Pattern of the datasets that enter with one of ``kinds``: stack, labels or objects."""
    names = [name for name, d in config["datasets"].items() if any(kind in d for kind in kinds)]
    return "|".join(map(re.escape, names)) or "(?!)"


def entry_file(kind):
    """Input function: the file or folder a dataset enters with, without a path inside HDF5."""
    return lambda wildcards: of(wildcards)[kind].split(":/")[0]


def pair_images(wildcards):
    """Image files of a denoiser's pairs."""
    return PAIRS[wildcards.denoiser][["noisy", "clean"]].to_numpy().ravel().tolist()


def image_of(wildcards):
    """Stack that is segmented: denoised if the dataset names a denoiser."""
    kind = "denoised" if of(wildcards)["denoiser"] else "raw"
    return f"results/{wildcards.dataset}/stack/{kind}.zarr"


def annotation_files(wildcards):
    """Files of the annotation rounds up to this iteration."""
    return round_files.round_files(of(wildcards)["annotations"], int(wildcards.iteration))


def annotation_digests(wildcards):
    """Content of these files, so that a copy with an old date is noticed."""
    return round_files.digests(annotation_files(wildcards), of(wildcards)["annotations"])


def earlier(name):
    """Input function: a file of the iteration before as it lies on disk; none for the first."""

    def find(wildcards):
        number = int(wildcards.iteration) - 1
        path = f"results/{wildcards.dataset}/iter_{number:02d}/{name}"
        return ancient(before_update(path)) if number >= 0 and Path(path).exists() else []

    return find


def segmenter_of(wildcards):
    """Network that predicts: the iteration's own, or another dataset's as it lies on disk."""
    other = of(wildcards)["segmenter"]
    if not other:
        return f"results/{wildcards.dataset}/iter_{wildcards.iteration}/segmenter/model.pt"
    path = f"results/{other}/segmenter/model.pt"
    return ancient(before_update(path)) if Path(path).exists() else path


def own_network(wildcards):
    """Params function: size of the network that was trained here; None of another dataset's."""
    dataset = of(wildcards)
    return None if dataset["segmenter"] else dataset["network"]


def separable(wildcards):
    """Input function: what is separated, as ``probability`` or ``labels``."""
    folder = f"results/{wildcards.dataset}/iter_{wildcards.iteration}"
    kind = "probability" if "stack" in of(wildcards) else "labels"
    return {kind: f"{folder}/{kind}.zarr"}


def boundary_of(wildcards):
    """Volume of the boundaries between objects that touch, if they are learnt."""
    learnt = "stack" in of(wildcards) and of(wildcards)["boundary"]
    return f"results/{wildcards.dataset}/iter_{wildcards.iteration}/boundary.zarr" if learnt else []


def pooling_of(wildcards):
    """Settings of the network that decide how many slices a volume of it must have."""
    return {key: of(wildcards)["network"][key] for key in ("depth", "stride")}


def slabs_of(pattern):
    """Input function: the slabs that make up a volume or table."""

    def find(wildcards):
        return expand(
            pattern,
            slab=range(config["slabs"]),
            slabs=config["slabs"],
            **dict(wildcards.items()),
        )

    return find

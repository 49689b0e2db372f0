"""What a comparison is made from: iterations made now, or as they lie on disk."""


def made_now(reference):
    """Whether this run makes ``<dataset>/iter_NN``, or must, as it is not there."""
    name, iteration = reference.rsplit("/", 1)
    made = name in config["datasets"] and name not in LEFT_OUT
    if made and iteration == f"iter_{iteration_of(name):02d}":
        return True
    return not Path("results", reference, "tables/objects.csv").is_file()


def compared(side, name):
    """Input function: file ``name`` of one of the two; what is not made now, as it lies on disk."""

    def find(wildcards):
        reference = COMPARED[wildcards.comparison]["of"][side]
        path = f"results/{reference}/{name}"
        return path if made_now(reference) else ancient(before_update(path))

    return find


def comparison_setting(key):
    """Params function: one setting of the comparison."""
    return lambda wildcards: COMPARED[wildcards.comparison][key]

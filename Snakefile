# Blockface: from an SBF-SEM stack to measured objects. What is made is set in config/config.yaml.
from snakemake.utils import min_version

min_version("9.20")


# --configfile takes its place; without this, Snakemake would add the one to the other
if not workflow.overwrite_configfiles:

    configfile: "config/config.yaml"


include: "workflow/rules/common.smk"
include: "workflow/rules/stack.smk"
include: "workflow/rules/denoising.smk"
include: "workflow/rules/segmentation.smk"
include: "workflow/rules/review.smk"
include: "workflow/rules/measurement.smk"
include: "workflow/rules/exports.smk"
include: "workflow/rules/compare_inputs.smk"
include: "workflow/rules/compare.smk"
include: "workflow/rules/report_inputs.smk"
include: "workflow/rules/report.smk"


rule all:
    default_target: True
    input:
        targets(),
    localrule: True

# The chapters as a graph. `wastebook build` writes the configuration (each chapter's needs and key) and calls this;
# Snakemake's own profiles (SNAKEMAKE_PROFILE) take the chapters to Slurm or Kubernetes.
# What a chapter puts out here is only the key it was run under: Snakemake deletes the outputs of what fails,
# and a run's last good results must stay.

rule all:
    input:
        expand(".build/{chapter}.key", chapter=config["chapters"]),


rule chapter:
    input:
        lambda wildcards: [f".build/{need}.key" for need in config["chapters"][wildcards.chapter]["needs"]],
    output:
        ".build/{chapter}.key",
    params:
        key=lambda wildcards: config["chapters"][wildcards.chapter]["key"],
    threads: config["threads"]
    shell:
        "{config[python]:q} -m wastebook.cli chapter {wildcards.chapter:q} --run {config[run]:q}"
        " && echo {params.key} > {output:q}"

# The chapters as a graph. `wastebook build` writes the configuration (each chapter's needs, key and priority) and
# calls this; Snakemake's own profiles (SNAKEMAKE_PROFILE) take the chapters to Slurm or Kubernetes.
# What a chapter puts out here is only the key it was run under: Snakemake deletes the outputs of what fails,
# and a run's last good results must stay.

rule all:
    input:
        expand(".build/{chapter}.key", chapter=config["chapters"]),


for chapter, facts in config["chapters"].items():

    rule:
        name:
            chapter
        input:
            [f".build/{need}.key" for need in facts["needs"]],
        output:
            f".build/{chapter}.key",
        params:
            chapter=chapter,
            key=facts["key"],
        priority: facts["priority"]
        threads: config["threads"]
        shell:
            "{config[python]:q} -m wastebook.cli chapter {params.chapter:q} --run {config[run]:q}"
            " && echo {params.key} > {output:q}"

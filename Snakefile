# The chapters as a graph. `wastebook build` writes the configuration (for each chapter what it needs, its parameters and
# a table of hashes of what it is made from) and calls this; Snakemake decides what is stale: it remembers the hashes in its
# records. Its own profiles (SNAKEMAKE_PROFILE) take the chapters to Slurm or Kubernetes, as docs/ has them.
# What a chapter puts out here is only a stamp: Snakemake deletes the outputs of what fails, and a run's last good
# results must stay.

import json
from pathlib import Path

from wastebook.book.work import end_with_parent

config = json.loads(Path(".build/graph.json").read_text(encoding="utf-8"))
end_with_parent(seconds=10)  # in which it cancels what it has on other machines


rule all:
    input:
        expand(".build/{chapter}.done", chapter=config["chapters"]),


for chapter, facts in config["chapters"].items():

    rule:
        name:
            chapter
        input:
            [f".build/{need}.done" for need in facts["needs"]],
        output:
            touch(f".build/{chapter}.done"),
        params:
            **facts["ingredients"],
        priority: sum(chapter in other["needs"] for other in config["chapters"].values())
        threads: config["threads"]
        shell:
            "{config[python]:q} -m wastebook.book.execute .build/graph.json {rule:q}"

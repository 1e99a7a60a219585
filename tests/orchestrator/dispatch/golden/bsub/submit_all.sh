#!/bin/bash
# Submits study chain, stages in order. Run it in the project's folder; output files go there.
set -euo pipefail
here=$(CDPATH= cd -- "$(dirname -- "$0")/." && pwd)
export SEEDFOLD_JOBS="$here/jobs.jsonl"
unset BSUB_QUIET

# submit FILE [OPTION]...: submits FILE with these options of bsub; $id is then the number of the job.
submit() {
    local said
    said=$(bsub "${@:2}" < "$here/$1")
    id=$(sed -n 's/^Job <\([0-9]*\)> is submitted.*/\1/p' <<< "$said")
    [ -n "$id" ] || { echo "$1: bsub gave no number: $said" >&2; exit 1; }
    echo "${1%.bsub}: $id"
}

submit 01_fit.bsub; id1=$id
submit 02_sum.bsub -w "ended($id1)"; id2=$id

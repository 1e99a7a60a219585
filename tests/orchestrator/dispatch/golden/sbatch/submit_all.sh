#!/bin/bash
# Submits study chain, stages in order. Run it in the project's folder; output files go there.
set -euo pipefail
here=$(CDPATH= cd -- "$(dirname -- "$0")/." && pwd)

id1=$(sbatch --parsable "$here/01_fit.sbatch" "$here/jobs.jsonl")
sleep 2
id2=$(sbatch --parsable --dependency="afterany:${id1%%;*}" --kill-on-invalid-dep=yes "$here/02_sum.sbatch" "$here/jobs.jsonl")

echo "01_fit: ${id1%%;*}"
echo "02_sum: ${id2%%;*}"

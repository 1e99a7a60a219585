#!/bin/bash
# Stage fit of study chain: 2 jobs, one command for each.
# Run it in the project's folder. Jobs that are done are not run again; the exit code is 1 if a job failed.
jobs=$(dirname -- "$0")/jobs.jsonl
failed=0
trap 'failed=1' ERR
trap 'exit 130' INT

seedfold run 4216470d3983 --jobs "$jobs" --record  # seed=1 fold=0
sleep 2
seedfold run fc1bdcc21b9a --jobs "$jobs" --record  # seed=1 fold=1

exit "$failed"

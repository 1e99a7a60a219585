#!/bin/bash
# Stage sum of study chain: 2 jobs, one command for each.
# Run it in the project's folder. Jobs that are done are not run again; the exit code is 1 if a job failed.
jobs=$(dirname -- "$0")/jobs.jsonl
failed=0
trap 'failed=1' ERR
trap 'exit 130' INT

seedfold run c42958aeb848 --jobs "$jobs" --record  # seed=0
sleep 2
seedfold run 6ab93f1d56a7 --jobs "$jobs" --record  # seed=1

exit "$failed"

#!/usr/bin/env bash
# Run a study as a SLURM array: every task takes its share of the cells, with one GPU.
#
#   sbatch scripts/slurm_study.sh STUDY DATA OUT [further flags of study.py run]
#   sbatch scripts/slurm_study.sh configs/studies/kits19_scenarios.yaml data/kits19 runs/kits19_study
#   sbatch --array=1-12 scripts/slurm_study.sh ...
#
# Submit from the project's folder; OUT must lie on a file system that all nodes share. A seed's
# generator is trained by one task; others wait for it before their synthetic cells. Every task
# writes the report when it ends, so the last one's is whole. Submitting again does what is missing.
#SBATCH --job-name=understudy-study
#SBATCH --array=1-4
#SBATCH --ntasks=1
#SBATCH --gpus=1
#SBATCH --cpus-per-task=8
#SBATCH --mem=48G
#SBATCH --time=12:00:00
#SBATCH --output=%x-%A_%a.out
#SBATCH --requeue
#SBATCH --open-mode=append
# Before the time limit the task is put back into the queue; cells go on from their checkpoints.
#SBATCH --signal=B:USR1@120
set -euo pipefail

study=${1:?first argument: a study such as configs/studies/kits19_scenarios.yaml}
data=${2:?second argument: the cache that prepare.py wrote}
out=${3:?third argument: the folder of the study, on a file system that all nodes share}
shift 3
cd "${SLURM_SUBMIT_DIR:-.}"

trap 'scontrol requeue "${SLURM_ARRAY_JOB_ID}_${SLURM_ARRAY_TASK_ID}"; exit 0' USR1
export WANDB_MODE=${WANDB_MODE:-offline}

# Without srun: study.py starts its own processes. The shares count from 1, as --array does above.
.venv/bin/python study.py run "$study" --data.root "$data" --out "$out" \
    --shard "$SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT" "$@" &
wait $!

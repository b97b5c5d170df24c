#!/usr/bin/env bash
# Train one model under SLURM, one task per GPU. Survives preemption, a lost node and the time limit.
#
#   sbatch scripts/slurm_train.sh CONFIG RUN_FOLDER [further flags of train.py fit]
#   sbatch scripts/slurm_train.sh configs/kits19/pix2pix.yaml runs/pix2pix --data.root data/kits19
#   sbatch --nodes=2 --gpus-per-node=8 --ntasks-per-node=8 scripts/slurm_train.sh ...
#
# Submit from the project's folder. Options on the sbatch line win over those below; add the
# partition, account or QOS that your site asks for.
#SBATCH --job-name=understudy
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=4
#SBATCH --gpus-per-node=4
#SBATCH --cpus-per-task=8
#SBATCH --mem-per-gpu=48G
#SBATCH --time=12:00:00
#SBATCH --output=%x-%j.out
# A requeued job keeps its id and goes on in the same log.
#SBATCH --requeue
#SBATCH --open-mode=append
# Two minutes before the time limit, this script (B:) and not the training gets USR1. Signalled
# itself, Lightning would save between the steps of the two networks.
#SBATCH --signal=B:USR1@120
set -euo pipefail

config=${1:?first argument: a configuration such as configs/kits19/pix2pix.yaml}
run_folder=${2:?second argument: the folder of the run, on a file system that all nodes share}
shift 2
cd "${SLURM_SUBMIT_DIR:-.}"

# SLURM then sends SIGTERM: the tasks write last.ckpt at the end of a step. Where they are killed before,
# the next start does again what came since the last one, to the same bits.
trap 'scontrol requeue "$SLURM_JOB_ID"; exit 0' USR1

# Since SLURM 22.05 srun does not take --cpus-per-task over from sbatch.
export SRUN_CPUS_PER_TASK=${SLURM_CPUS_PER_TASK:-1}
# Compute nodes often have no way out; `wandb sync` sends the record later.
export WANDB_MODE=${WANDB_MODE:-offline}

# In the background, because bash runs a trap only once the command in front of it has ended.
srun --kill-on-bad-exit=1 .venv/bin/python train.py fit \
    --config "$config" --config configs/trainer/ddp.yaml \
    --trainer.devices "$SLURM_NTASKS_PER_NODE" --trainer.num_nodes "$SLURM_JOB_NUM_NODES" \
    --trainer.enable_progress_bar false \
    --data.num_workers 4 --checkpoint_every_steps 1000 \
    --run_folder "$run_folder" --resume true "$@" &
wait $!

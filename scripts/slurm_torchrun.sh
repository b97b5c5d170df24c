#!/usr/bin/env bash
# As slurm_train.sh, for sites that want torchrun: one task per node, which starts a process per GPU.
#
#   sbatch scripts/slurm_torchrun.sh CONFIG RUN_FOLDER [further flags of train.py fit]
#   sbatch --nodes=4 --gpus-per-node=8 scripts/slurm_torchrun.sh ...
#
# It repeats lines of slurm_train.sh, since SLURM runs a copy of a script, away from files beside it.
#
# Without SLURM, the same on every machine, with the name of the first one as HEAD:
#   .venv/bin/python -m torch.distributed.run --nnodes=2 --nproc-per-node=8 \
#       --rdzv-backend=c10d --rdzv-id=1 --rdzv-endpoint=HEAD:29500 \
#       train.py fit --config CONFIG --config configs/trainer/ddp.yaml --trainer.num_nodes 2 \
#       --trainer.devices 8 --run_folder RUN_FOLDER --resume true
#SBATCH --job-name=understudy
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=4
#SBATCH --cpus-per-task=32
#SBATCH --mem-per-gpu=48G
#SBATCH --time=12:00:00
#SBATCH --output=%x-%j.out
# A requeued job keeps its id and goes on in the same log.
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --signal=B:USR1@120
set -euo pipefail

config=${1:?first argument: a configuration such as configs/kits19/pix2pix.yaml}
run_folder=${2:?second argument: the folder of the run, on a file system that all nodes share}
shift 2
cd "${SLURM_SUBMIT_DIR:-.}"

# As in slurm_train.sh: the job is requeued, and goes on from last.ckpt.
trap 'scontrol requeue "$SLURM_JOB_ID"; exit 0' USR1

export SRUN_CPUS_PER_TASK=${SLURM_CPUS_PER_TASK:-1}
export WANDB_MODE=${WANDB_MODE:-offline}
head=${MASTER_ADDR:-$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)}
# Of its own for every job, since jobs may share a node.
port=$((20000 + SLURM_JOB_ID % 10000))

srun --kill-on-bad-exit=1 .venv/bin/python -m torch.distributed.run \
    --nnodes="$SLURM_JOB_NUM_NODES" --nproc-per-node="$SLURM_GPUS_ON_NODE" \
    --rdzv-backend=c10d --rdzv-id="$SLURM_JOB_ID" --rdzv-endpoint="$head:$port" \
    train.py fit --config "$config" --config configs/trainer/ddp.yaml \
    --trainer.devices "$SLURM_GPUS_ON_NODE" --trainer.num_nodes "$SLURM_JOB_NUM_NODES" \
    --trainer.enable_progress_bar false \
    --data.num_workers 4 --checkpoint_every_steps 1000 \
    --run_folder "$run_folder" --resume true "$@" &
wait $!

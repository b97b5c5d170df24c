#!/usr/bin/env bash
# Ends the cluster of scripts/cluster/up.sh and the jobs on it. Its logs stay in FOLDER.
#
#   scripts/cluster/down.sh [FOLDER]
set -euo pipefail

folder=$(realpath -m "${1:-$(dirname "$0")/../../.cluster}")
if [ ! -e "$folder/understudy_cluster" ]; then
    echo "cluster-down: $folder: holds no cluster of scripts/cluster/up.sh. Nothing was ended." >&2
    exit 2
fi
export SLURM_CONF=$folder/slurm.conf
# Jobs first: a daemon that ends leaves its jobs running.
if timeout 5 scontrol ping > "$folder/ping.txt" 2>&1; then
    scancel --quiet --state=PENDING --me || true
    scancel --quiet --me || true
    for _ in $(seq 40); do
        [ -n "$(timeout 5 squeue -h 2> /dev/null)" ] || break
        sleep 0.5
    done
fi
for daemon in node1 node2 slurmctld munged; do
    file=$folder/run/$daemon.pid
    [ -s "$file" ] || continue
    pid=$(cat "$file")
    # A number may have gone to another process since.
    grep -qE '^(slurmd|slurmctld|munged)$' "/proc/$pid/comm" 2> /dev/null || continue
    kill "$pid"
    for _ in $(seq 40); do
        kill -0 "$pid" 2> /dev/null || break
        sleep 0.25
    done
done
rm -rf "$folder/state" "$folder/spool" "$folder/run" "$folder/munge.key"
echo "cluster-down: ended. Logs: $folder/logs"

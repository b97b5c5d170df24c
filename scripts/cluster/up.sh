#!/usr/bin/env bash
# A SLURM cluster on this machine, to try jobs on: two nodes that are two daemons here, with as
# many cores and GPUs as a template may ask for. They are pretended: nothing is bound to a device.
#
#   scripts/cluster/up.sh [FOLDER]      default .cluster in the project
#   export SLURM_CONF=$PWD/.cluster/slurm.conf    then sbatch, squeue, sacct -c as on any cluster
#   scripts/cluster/down.sh [FOLDER]
#
# Debian's slurm-wlm and munge are needed; to install them takes root, to run them does not, and
# systemd is not used. Keys, state, logs and process ids lie in FOLDER, and nothing outside changes.
set -euo pipefail

folder=$(realpath -m "${1:-$(dirname "$0")/../../.cluster}")
refuse() { echo "cluster-up: $*" >&2; exit 2; }

for program in munged slurmctld slurmd sbatch scontrol; do
    PATH=$PATH:/usr/sbin command -v "$program" > /dev/null || refuse "$program is not installed." \
        "As root: apt-get install --no-install-recommends slurm-wlm munge. Nothing was started."
done
export PATH=$PATH:/usr/sbin
for theirs in "${SLURM_CONF:-}" /etc/slurm/slurm.conf /etc/slurm-llnl/slurm.conf; do
    [ -z "$theirs" ] || [ "$theirs" = "$folder/slurm.conf" ] || [ ! -e "$theirs" ] || refuse \
        "$theirs: this machine is configured for another SLURM. Nothing was started or changed;" \
        "use sbatch there as it is."
done
export SLURM_CONF=$folder/slurm.conf
if [ -e "$SLURM_CONF" ] && timeout 5 scontrol ping > "$folder/ping.txt" 2>&1; then
    refuse "$folder: holds a cluster that is up. Use it by export SLURM_CONF=$SLURM_CONF, or end" \
        "it by scripts/cluster/down.sh $folder."
fi
[ ! -e "$folder" ] || [ -e "$folder/understudy_cluster" ] || [ -z "$(ls -A "$folder")" ] || refuse \
    "$folder: holds something else. Nothing was changed; give a folder of its own."
[ "${#folder}" -lt 80 ] || refuse \
    "$folder: is too long for the name of a socket (80 characters). Give a shorter folder."

# State of a cluster that has ended is dropped; its logs stay.
rm -rf "$folder/state" "$folder/spool" "$folder/run"
(umask 077 && mkdir -p "$folder"/{state,spool,run})
mkdir -p "$folder/logs" && chmod 755 "$folder" "$folder/run" "$folder/logs"
touch "$folder/understudy_cluster"
(umask 077 && head -c 1024 /dev/urandom > "$folder/munge.key")

user=$(id -un)
cat > "$SLURM_CONF" << CONF
ClusterName=understudy
SlurmctldHost=$(hostname -s)(127.0.0.1)
SlurmctldPort=${CLUSTER_PORT:=16817}
SlurmUser=$user
SlurmdUser=$user
AuthType=auth/munge
CredType=cred/munge
# A job that is put back into the queue waits for cred_expire seconds.
AuthInfo=socket=$folder/run/munge.socket,cred_expire=15
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool/%n
SlurmctldPidFile=$folder/run/slurmctld.pid
SlurmdPidFile=$folder/run/%n.pid
SlurmctldLogFile=$folder/logs/slurmctld.log
SlurmdLogFile=$folder/logs/%n.log
JobCompType=jobcomp/filetxt
JobCompLoc=$folder/logs/jobs.txt
MailProg=/bin/true
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=batch_sched_delay=0,sched_interval=5,bf_interval=5
SlurmdParameters=config_overrides
SlurmdTimeout=20
KillWait=5
ReturnToService=2
GresTypes=gpu
NodeName=node[1-2] NodeHostname=localhost NodeAddr=127.0.0.1 Port=$((CLUSTER_PORT + 1))-$((CLUSTER_PORT + 2)) CPUs=64 RealMemory=4000000 Gres=gpu:8
PartitionName=main Nodes=ALL Default=YES State=UP
CONF
touch "$folder"/run/gpu{0..7}
printf 'AutoDetect=off\nName=gpu File=%s/run/gpu[0-7]\n' "$folder" > "$folder/gres.conf"

# A start that fails leaves nothing running.
down=$(realpath "$(dirname "$0")/down.sh")
trap '[ -n "${up:-}" ] || "$down" "$folder"' EXIT
# --force: the folders above may be open to others, as /tmp is, and the key is not.
munged --force --num-threads=2 --key-file="$folder/munge.key" --socket="$folder/run/munge.socket" \
    --pid-file="$folder/run/munged.pid" --seed-file="$folder/run/munged.seed" \
    --log-file="$folder/logs/munged.log" 2>> "$folder/logs/munged.log" \
    || refuse "munged does not start; see $folder/logs/munged.log."
slurmctld || refuse "slurmctld does not start; see $folder/logs/slurmctld.log."
for node in node1 node2; do
    slurmd -N "$node" || refuse "slurmd does not start; see $folder/logs/$node.log."
done
for _ in $(seq 60); do
    [ "$(timeout 5 sinfo -h -t idle -o %D 2> /dev/null)" != 2 ] || up=1
    [ -z "${up:-}" ] || break
    sleep 0.5
done
[ -n "${up:-}" ] || refuse "the nodes do not come up within 30 s; see $folder/logs."
echo "cluster-up: node1 and node2 are idle. export SLURM_CONF=$SLURM_CONF"

#!/usr/bin/env bash
# up.sh LAB NODES CPUS PORT: starts a Slurm cluster on loopback for tests: a controller on PORT, and virtual
# nodes node1, node2, ... on the next ports. It needs no systemd, cgroups or accounting, touches nothing
# outside LAB, and runs as root or any user.
# Debian and Ubuntu: apt-get install --no-install-recommends slurmctld slurmd slurm-client munge
set -euo pipefail
lab=$1 nodes=$2 cpus=$3 port=$4
user=$(id -un)
mkdir -p "$lab"/{state,spool,log,run,etc}
(umask 077; dd if=/dev/urandom of="$lab/etc/munge.key" bs=1 count=1024 status=none)
chmod 0700 "$lab/etc"
munged --key-file="$lab/etc/munge.key" --socket="$lab/run/munge.sock" --pid-file="$lab/run/munged.pid" \
  --log-file="$lab/log/munged.log" --seed-file="$lab/run/munged.seed"
# cred_expire is also the time after which a task of a lost node starts again.
cat > "$lab/etc/slurm.conf" <<CONF
ClusterName=zerospace-test
SlurmctldHost=$(hostname -s)(127.0.0.1)
SlurmctldPort=$port
SlurmUser=$user
SlurmdUser=$user
AuthType=auth/munge
AuthInfo=socket=$lab/run/munge.sock,cred_expire=5
CredType=cred/munge
StateSaveLocation=$lab/state
SlurmdSpoolDir=$lab/spool/%n
SlurmctldPidFile=$lab/run/slurmctld.pid
SlurmdPidFile=$lab/run/slurmd.%n.pid
SlurmctldLogFile=$lab/log/slurmctld.log
SlurmdLogFile=$lab/log/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SwitchType=switch/none
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
MpiDefault=none
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=1,sched_interval=1,batch_sched_delay=0,sched_min_interval=0
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdTimeout=10
KillWait=5
MessageTimeout=5
ReturnToService=2
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
SlurmdParameters=config_overrides
CONF
for i in $(seq 1 "$nodes"); do
  echo "NodeName=node$i NodeHostname=node$i NodeAddr=127.0.0.1 Port=$((port + i)) CPUs=$cpus RealMemory=4000"
done >> "$lab/etc/slurm.conf"
echo "PartitionName=test Nodes=ALL Default=YES MaxTime=INFINITE State=UP" >> "$lab/etc/slurm.conf"
# slurmd loads a cgroup plugin even if nothing uses it. Naming one keeps it from looking for files that containers lack.
version=$(slurmd -V | grep -o '[0-9]*\.[0-9]*' | head -1)
plugin=cgroup/v1
[ "$(printf '%s\n' "$version" 24.05 | sort -V | head -1)" = 24.05 ] && plugin=disabled
echo "CgroupPlugin=$plugin" > "$lab/etc/cgroup.conf"
export SLURM_CONF="$lab/etc/slurm.conf"
slurmctld -f "$SLURM_CONF"
for i in $(seq 1 "$nodes"); do
  mkdir -p "$lab/spool/node$i"
  slurmd -f "$SLURM_CONF" -N "node$i"
done
for _ in $(seq 1 150); do
  [ "$(sinfo -h -N -t idle -o %N 2>/dev/null | sort -u | wc -l)" = "$nodes" ] && exit 0
  sleep 0.1
done
sinfo -N -l >&2
echo "the nodes do not come up: see $lab/log" >&2
exit 1

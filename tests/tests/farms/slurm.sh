# shellcheck shell=dash
# Stands before scripts of tests, in network and host name spaces of their own: starts Slurm on this one machine, which ends with the script.
# It has two processors, whatever the machine has, so that two tasks of an array run at once.
set -eu
cd /srv
hostname farm
ip link set lo up
ip address add 192.0.2.1/32 dev lo
printf '%s\n' '127.0.0.1 localhost' '192.0.2.1 farm' >/etc/hosts
mkdir -p slurm/state slurm/spool /run/munge
chown munge /run/munge
echo CgroupPlugin=disabled >/etc/slurm/cgroup.conf
cat >/etc/slurm/slurm.conf <<Y
ClusterName=farm
SlurmctldHost=farm
SlurmUser=root
StateSaveLocation=/srv/slurm/state
SlurmdSpoolDir=/srv/slurm/spool
SlurmctldPidFile=/srv/slurm/slurmctld.pid
SlurmdPidFile=/srv/slurm/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
ReturnToService=2
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=batch_sched_delay=0
SlurmdParameters=config_overrides
NodeName=farm CPUs=2
PartitionName=all Nodes=ALL Default=YES
Y
setpriv --reuid=munge --regid=munge --clear-groups munged --foreground >slurm/munged.log 2>&1 &
services=$!
slurmctld -D >slurm/slurmctld.log 2>&1 &
services="$services $!"
slurmd -D >slurm/slurmd.log 2>&1 &
services="$services $!"
trap 'kill $services' EXIT
tries=0
until sinfo -h -o %T 2>/dev/null | grep -q idle; do
    tries=$((tries + 1))
    [ $tries -lt 300 ] || { tail -n 20 slurm/*.log >&2; exit 1; }
    sleep 0.1
done

# shellcheck disable=SC2034 # the scripts read `code`
# array: the jobs of /srv/matrix.json, as docs/farms.md has it; `code` is then what sbatch ended with.
array() {
    code=0
    sbatch --wait --array=0-$(($(jq '.include | length' /srv/matrix.json) - 1)) --output=/srv/task-%a --wrap 'dkms build --matrix /srv/matrix.json' || code=$?
}
# planned: plans what is not built yet; a line for each job.
planned() {
    dkms plan --matrix -k "$K" >/srv/matrix.json
    jq -r '.include[] | "\(.job) \(.module)"' /srv/matrix.json
}
# is WORDS EXPECTED: an error that shows both.
is() { [ "$1" = "$2" ] || { echo "not \`$2\` but: $1" >&2; tail -n 20 /srv/task-* >&2; exit 1; }; }

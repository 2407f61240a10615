#!/usr/bin/env bash
# steps.sh LAB [NODE]: prints the process ids of this cluster's step managers, for one node or for all.
lab=$1 node=${2:-}
for process in /proc/[0-9]*; do
  case "$(readlink "$process/exe" 2>/dev/null)" in */slurmstepd*) ;; *) continue ;; esac
  readlink "$process/cwd" "$process"/fd/* 2>/dev/null | grep -qF "$lab/log/slurmd.${node:+$node.log}" && echo "${process#/proc/}"
done
exit 0

#!/bin/sh
# Runs a program in a network that holds nothing but a loopback interface.
#
# Nothing outside reaches what listens there, two runs do not meet, and the
# addresses of pods and services are local. Needs root and iproute2.
# Usage: isolated.sh PROGRAM [ARGUMENT…]; as the runner of `cargo test`:
# CARGO_TARGET_<TRIPLE>_RUNNER=tests/kubernetes/isolated.sh
set -eu
exec unshare --net sh -ec '
ip link set lo up
ip route add local 10.244.0.0/16 dev lo
ip route add local 10.96.0.0/16 dev lo
exec "$@"' isolated "$@"

#!/bin/sh
# The main job on ResNet-50: this machine with one thread is the device, with two threads it is the server.
set -eu

OFFLOAD_HOME="$(mktemp -d)"
export OFFLOAD_HOME
trap 'rm -rf "$OFFLOAD_HOME"' EXIT

run() {
    printf '\n$ %s\n' "$*"
    "$@"
}

run offload profile resnet50 --threads 2 -o "$OFFLOAD_HOME/server.json"
run offload profile resnet50 --threads 1 -o "$OFFLOAD_HOME/device.json"
run offload plan --profile "$OFFLOAD_HOME/device.json" --server "$OFFLOAD_HOME/server.json" \
    --bw 450mbps --rtt 4ms --emulate-slowdown 8 -o "$OFFLOAD_HOME/plan.json"

# A plan out of tolerance (exit code 4) is an answer too: the demo shows it and succeeds.
run offload verify "$OFFLOAD_HOME/plan.json" || test $? -eq 4

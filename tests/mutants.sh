#!/bin/bash
# Changes one line at a time of what decides and of what reads foreign bytes, and runs the unit tests of its crate: a
# change that no test notices is a test that is missing. cargo-mutants makes the changes, in a copy of the tree. A sample:
# MUTANTS=60 of them, SEED=0 says which; the same seed picks the same ones from the same source.
set -euo pipefail
cd "$(dirname "$0")/.."

mutants=${MUTANTS:-60} seed=${SEED:-0}
command -v cargo-mutants >/dev/null || cargo install --locked cargo-mutants

files=(
    'core/conf/src/resolve/*.rs' 'core/conf/src/syntax/*.rs' core/conf/src/trust.rs
    'core/lifecycle/src/plan/*.rs' core/lifecycle/src/event.rs core/lifecycle/src/install/recover.rs
    'core/kernel/src/modfile/*.rs'
    hooks-apt/src/dpkg.rs hooks-apt/src/transaction.rs
    hooks-dnf/src/dnf4.rs hooks-dnf/src/dnf5.rs hooks-dnf/src/header.rs hooks-dnf/src/incoming.rs hooks-dnf/src/zypp.rs
    hooks-pacman/src/pacman_conf.rs hooks-pacman/src/record.rs hooks-pacman/src/targets.rs hooks-pacman/src/tell.rs
)
chosen=()
for file in "${files[@]}"; do chosen+=(--file "$file"); done

all=$(cargo mutants --list "${chosen[@]}" | wc -l)
parts=$(((all + mutants - 1) / mutants))
[ "$parts" -gt 0 ] || { echo "make mutants: none of its files has a line to change" >&2; exit 1; }
part=$((seed % parts))
echo "make mutants: part $part of $parts, of $all mutants; SEED picks the part"
exec cargo mutants "${chosen[@]}" --shard "$part/$parts" --sharding round-robin --no-shuffle --timeout 300 \
    --output "${CARGO_TARGET_DIR:-target}" -- --lib

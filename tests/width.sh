#!/bin/sh
# Comments of the Rust code that are wider than rustfmt.toml says; rustfmt itself leaves them alone. Tables, addresses, code in
# fences and lines without a place to break may be wider.
set -eu
cd "$(dirname "$0")/.."
width=$(sed -n 's/^max_width = //p' rustfmt.toml)

# Bytes are counted, and those that continue a character are not.
# shellcheck disable=SC2016 # they are awk's variables
git ls-files '*.rs' | LC_ALL=C xargs awk -v width="$width" '
    FNR == 1 { fenced = 0 }
    !/^ *\/\// { fenced = 0; next }
    { text = $0; sub(/^ *\/\/[\/!]* */, "", text) }
    text ~ /^```/ { fenced = !fenced }
    fenced || text ~ /^\|/ || text ~ /https?:\/\// || text !~ / / { next }
    {
        bytes = length($0)
        line = $0
        if (bytes - gsub(/[\200-\277]/, "", line) > width) {
            printf "%s:%d: a comment of %d characters, and %d fit\n", FILENAME, FNR, length(line), width
            wrong = 1
        }
    }
    END { exit wrong }' >&2

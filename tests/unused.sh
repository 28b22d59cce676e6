#!/bin/sh
# Dependencies that no code names, and dependencies of the programs that only their tests name. Reads manifests and sources, and
# compiles nothing.
set -eu
cd "$(dirname "$0")/.."

# The names in a table of a manifest.
names() {
    awk -v wanted="[$2]" '/^\[/ { inside = ($0 == wanted) } inside && /^[a-zA-Z0-9_-]+[ .=]/ { sub(/[ .=].*/, ""); print }' "$1"
}

# Whether code below these folders names a crate; what stands in comments doesn't count.
used() {
    case $1 in
    md-5) crate=md5 ;; # the one whose crate has another name
    *) crate=$(printf '%s' "$1" | tr - _) ;;
    esac
    shift
    grep -rhE --include='*.rs' "(^|[^a-zA-Z0-9_:])(::)?$crate(::|;| as )" "$@" 2>/dev/null | grep -qvE '^[[:space:]]*//'
}

wrong=0
found() {
    printf '%s\n' "$1" >&2
    wrong=1
}

manifests=$(find . -name Cargo.toml -not -path './target/*' -not -path './fuzz/libfuzzer/*' -not -path ./Cargo.toml | sort)
for manifest in $manifests; do
    folder=${manifest%/Cargo.toml}
    for name in $(names "$manifest" dependencies); do
        used "$name" "$folder/src" || found "$manifest: nothing in src/ names \`$name\`"
    done
    for name in $(names "$manifest" dev-dependencies); do
        used "$name" "$folder/src" "$folder/tests" || found "$manifest: no test names \`$name\`"
    done
done

for name in $(names Cargo.toml workspace.dependencies); do
    # shellcheck disable=SC2086 # a list of paths without spaces
    grep -qE "^${name}[ .=]" $manifests || found "Cargo.toml: no package depends on \`$name\`"
done
exit "$wrong"

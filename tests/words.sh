#!/bin/sh
# Words that this project used in a sense of its own, in documents, comments and messages: whoever reads them must not have to learn a
# dialect (docs/glossary.md has the terms). Text in backticks and code blocks may have them.
#
# tests/words-left.txt counts what is not cleaned yet, `COUNT FILE` a line: a file may have fewer, but not more.
#   tests/words.sh            checks
#   tests/words.sh --left     writes that list anew
set -eu
cd "$(dirname "$0")/.."
left=tests/words-left.txt

found=$(mktemp)
trap 'rm -f "$found"' EXIT

# shellcheck disable=SC2016 # they are awk's variables
git ls-files -- '*.md' '*.rs' '*.sh' '*.py' '*.conf' '*.toml' '*.list' '*.spec' '*.service' '*.hook' Makefile .ci packaging/debian |
    grep -vE '^(tests/words\.sh|packaging/debian/(changelog|copyright))$' | LC_ALL=C xargs awk '
    BEGIN {
        while ((getline line < "tests/words.txt") > 0)
            if (line !~ /^#/ && split(line, parts, "\t") == 2) {
                word[++n] = "(^|[^a-z_-])(" parts[1] ")([^a-z_(:-]|$)"
                instead[n] = parts[2]
            }
    }
    function check(text,    i, low) {
        gsub(/`[^`]*`/, "``", text); gsub(/\{[^}]*\}/, "{}", text); text = tolower(text)
        for (i = 1; i <= n; i++) {
            low = text
            while (match(low, word[i])) {
                hit = substr(low, RSTART, RLENGTH); gsub(/^[^a-z]|[^a-z]$/, "", hit)
                printf "%s:%d: `%s`: write %s\n", FILENAME, FNR, hit, instead[i]
                low = substr(low, RSTART + RLENGTH - 1)
            }
        }
    }
    FNR == 1 { fenced = 0; open = 0; kind = FILENAME; sub(/.*\./, "", kind) }
    kind == "md" && /^```/ { fenced = !fenced }
    kind == "md" { if (!fenced && !/^    /) check($0); next }
    kind == "rs" {
        rest = $0
        # A string that a backslash has carried over to this line.
        if (open) { at = match(rest, /[^\\]"/); if (!at) { check(rest); open = /\\$/; next } part = substr(rest, 1, at); rest = substr(rest, at + 2); open = 0; check(part) }
        while (match(rest, /"([^"\\]|\\.)*"|\/\/.*$/)) {
            part = substr(rest, RSTART, RLENGTH)
            rest = substr(rest, RSTART + RLENGTH)
            if (part ~ /^\/\// || part ~ / /) check(part)
        }
        if (rest ~ /"([^"\\]|\\.)*\\$/) { sub(/^[^"]*"/, "", rest); check(rest); open = 1 }
        next
    }
    /#/ { text = $0; sub(/^[^#]*#/, "", text); check(text) }' >"$found"

# What each file has.
count() {
    sed 's/:.*//' "$1" | sort | uniq -c | awk '{ print $1, $2 }' | LC_ALL=C sort -k2
}

if [ "${1-}" = --left ]; then
    count "$found" >"$left"
    exit
fi
count "$found" | awk 'NR == FNR { may[$2] = $1; next } $1 > may[$2] + 0 { print $2, may[$2] + 0 }' "$left" - >"$found.more"
status=0
while read -r file allowed; do
    grep -F "$file:" "$found" >&2
    [ "$allowed" = 0 ] || echo "$file: $allowed of these were there before (tests/words-left.txt)" >&2
    status=1
done <"$found.more"
rm -f "$found.more"
exit "$status"

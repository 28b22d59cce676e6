#!/bin/sh
# Prints every text that a user can see, from the source: `FILE:LINE: KIND: TEXT`. The kind is `error` (an attribute of thiserror),
# `warning`, `note`, `hint`, `help` (of an option) or `text`. A text is a string of at least two words outside of tests.
#
#   tests/messages.sh              all of them
#   tests/messages.sh cli core     those of these folders
set -eu
cd "$(dirname "$0")/.."
[ $# -gt 0 ] || set -- cli core dh-dkms prebuilt-fetch hooks-apt hooks-dnf hooks-pacman packaging

# shellcheck disable=SC2016 # they are awk's variables
git ls-files "$@" | grep -E '\.(rs|py)$|/files/|/dkms\.(p|s)[a-z]*$' | grep -vE '(^|/)tests(\.rs|/)|_tests\.rs$|/(testing|against_bash)\.rs$|\.md$' |
    while IFS= read -r file; do printf '%s\0' "$file"; done |
    LC_ALL=C xargs -0 awk '
    # A text ends: it is shown if it has two words.
    function show(text,    kind, around) {
        gsub(/\\n/, " ", text); gsub(/\\"/, "\"", text); gsub(/[ \t]+/, " ", text); sub(/^ /, "", text); sub(/ $/, "", text)
        if (text !~ /[A-Za-z}`)][,:;]? [A-Za-z`({][a-z`({]/ || text !~ /[a-z][a-z][a-z]/) return
        around = before2 " " before1 " " code
        # What is compared with other programs'"'"' texts, and the reasons of `expect`.
        if (code ~ /(contains|starts_with|ends_with|strip_prefix|strip_suffix|split_once|any|find|expect|trim_start_matches)\($/) return
        if (FILENAME ~ /\/diagnose\// && code ~ /^[ \t]*("", )*$/ && rest ~ /^[],]/ && before1 !~ /\($/) return
        if (around ~ /reason = $|assert[a-z_]*!\([^;]*$|panic!\([^;]*$|unreachable!\([^;]*$|#\[doc[^]]*$/) return
        kind = "text"
        if (around ~ /#\[error\([^]]*$/) kind = "error"
        else if (code ~ /(warn|warning)\((format!\()?$/ || around ~ /(warn|warning|Warning)[({][^;]*$/) kind = "warning"
        else if (around ~ /note\([^;]*$/) kind = "note"
        else if (around ~ /hints?[(:][^;]*$/) kind = "hint"
        printf "%s:%d: %s: %s\n", FILENAME, begun, kind, text
    }
    FNR == 1 { inside = 0; done = 0; doc = ""; code = before1 = before2 = ""; rust = FILENAME ~ /\.rs$/ }
    done { next }
    rust && !inside && /^#\[cfg\(test\)\]/ { maybe = 1; next }
    rust && !inside && maybe && /^#\[/ { next }
    rust && !inside && maybe && /^(pub[^ ]* )?mod .*\{/ { done = 1; next }
    { maybe = 0 }
    rust && !inside && /^ *\/\/\/ / { line = $0; sub(/^ *\/\/\/ /, "", line); doc = doc (doc == "" ? "" : " ") line; if (!docline) docline = FNR; next }
    rust && !inside && /^ *#\[arg\(/ && doc != "" { printf "%s:%d: help: %s\n", FILENAME, docline, doc }
    { doc = ""; docline = 0 }
    rust && !inside && /^ *\/\// { next }
    !rust && /^ *#/ { next }
    {
        rest = $0
        if (inside) sub(/^[ \t]+/, "", rest)
        else { before2 = before1; before1 = code; code = "" }
        while (rest != "") {
            if (!inside) {
                at = index(rest, "\"")
                comment = rust ? index(rest, "//") : 0
                if (!at || comment && comment < at) { code = code (comment ? substr(rest, 1, comment - 1) : rest); break }
                lead = substr(rest, 1, at - 1)
                rest = substr(rest, at + 1)
                # A quote as a character.
                if (rust && lead ~ /\047\\?$/ && substr(rest, 1, 1) == "\047") { code = code lead "\""; continue }
                code = code lead
                close_with = "\""; raw = 0
                if (rust && match(lead, /r#*$/)) { raw = 1; hashes = substr(lead, RSTART + 1); close_with = "\"" hashes }
                inside = 1; begun = FNR; text = ""
            }
            if (raw) {
                at = index(rest, close_with)
                if (!at) { text = text rest " "; break }
                text = text substr(rest, 1, at - 1)
                rest = substr(rest, at + length(close_with))
            } else {
                # Up to the next quote that no backslash stands before.
                ended = 0
                while (match(rest, /[\\"]/)) {
                    if (substr(rest, RSTART, 1) == "\"") {
                        text = text substr(rest, 1, RSTART - 1); rest = substr(rest, RSTART + 1); ended = 1; break
                    }
                    text = text substr(rest, 1, RSTART - 1)
                    if (RSTART < length(rest)) text = text substr(rest, RSTART, 2)
                    rest = substr(rest, RSTART + 2)
                }
                if (!ended) { text = text rest (rust ? "" : " "); if (!rust) { inside = 0; code = "" } break }
            }
            inside = 0
            show(text)
            code = code "\"\""
        }
    }'

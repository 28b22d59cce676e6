# Sources the confs, then says what they set. Runs inside `bash -c`, behind prelude.sh; Rust fills in what stands between
# two `@`. What comes after a conf has run trusts nothing: an assignment, which nobody can redefine, switches to POSIX
# mode, and there `unset`, `set`, `trap` and `exit` are found before any function of that name.
exit() {
    if ((BASH_SUBSHELL == 0)); then
        POSIXLY_CORRECT=1
        unset -f printf
        printf '\0%s\0%s\0%s\0%s\0' "$__dkms_mark" exit "${BASH_SOURCE[1]}" "${BASH_LINENO[0]}" >&211
    fi
    builtin exit "$@"
}
# Confs call this one of the 3.x line's functions.
override_dest_module_location() {
    printf '%s\n' "${__dkms_dest:-$1}"
}
__dkms_read() {
    for __dkms_file in "${__dkms_rest[@]}"; do
        printf '\0%s\0%s\0%s\0' "$__dkms_mark" begin "$__dkms_file" >&211
        if ! __dkms_said=$("$BASH" -O extglob -n -- "$__dkms_file" 2>&1); then
            printf '\0%s\0%s\0%s\0%s\0' "$__dkms_mark" syntax "$__dkms_file" "$__dkms_said" >&211
            builtin exit 1
        fi
        source "$__dkms_file"
        POSIXLY_CORRECT=1
        unset -f printf builtin source compgen
        unset POSIXLY_CORRECT
    done
    POSIXLY_CORRECT=1
    set +euxvfk
    trap - EXIT ERR DEBUG RETURN
    {
        printf '\0%s\0%s\0' "$__dkms_mark" values
        @DUMP@
        for __dkms_file in "${!DKMS_DIRECTIVE@}"; do printf '%s\0' "$__dkms_file" 0 "${!__dkms_file}"; done
        printf '%s\0%s\0' "$__dkms_mark" names
        printf '%s\0' "$(compgen -A variable)"
        printf '%s\0%s\0' "$__dkms_mark" end
    } >&211
    exit 0
}
__dkms_read

# Expands values the second time: name, index and text in turn, the text ready to stand between double quotes.
# Runs inside `bash -c`, behind prelude.sh; Rust fills in what stands between two `@`.
__dkms_again() {
    for ((__dkms_at = 0; __dkms_at < ${#__dkms_rest[@]}; __dkms_at += 3)); do
        printf '\0%s\0%s\0%s\0%s\0' "$__dkms_mark" value "${__dkms_rest[@]:__dkms_at:2}" >&211
        __dkms_done=
        eval "${__dkms_rest[__dkms_at]}[${__dkms_rest[__dkms_at + 1]}]=\"${__dkms_rest[__dkms_at + 2]}\"; __dkms_done=1"
        [[ $__dkms_done ]] || exit 1
    done
    {
        printf '\0%s\0%s\0' "$__dkms_mark" values
        @DUMP@
        printf '%s\0%s\0' "$__dkms_mark" names
        printf '%s\0%s\0' "$__dkms_mark" end
    } >&211
    exit 0
}
__dkms_again

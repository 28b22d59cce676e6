#!/bin/sh
# make-image IMAGE K: an initramfs (cpio newc) with the modules below updates and extra of /lib/modules/K; noted in /srv/images.
set -e
pad() { p=$(((4 - $1 % 4) % 4)); [ "$p" = 0 ] || head -c "$p" /dev/zero; }
entry() { # NAME FILE
    size=$(stat -c %s "$2") length=$((${#1} + 1))
    printf '070701'
    printf '%08X' 0 33188 0 0 1 0 "$size" 0 0 0 0 "$length" 0
    printf '%s\0' "$1"
    pad $((110 + length))
    cat "$2"
    pad "$size"
}
mkdir -p /srv
: >/srv/empty
modules=$(cd "/lib/modules/$2" && find updates extra -name '*.ko*' 2>/dev/null | sort) || :
{
    for file in $modules; do
        entry "lib/modules/$2/$file" "/lib/modules/$2/$file"
    done
    entry 'TRAILER!!!' /srv/empty
} >"$1.new"
mv "$1.new" "$1"
# shellcheck disable=SC2046 # one word for each module
echo "$2:" $(for file in $modules; do modinfo -F version "/lib/modules/$2/$file"; done) >>/srv/images

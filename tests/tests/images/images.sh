# shellcheck shell=dash
# Stands before scripts of tests. /srv/ours has packages: dkms, foo-dkms, and the same that are broken in a way each. /srv/keys/mok.pem is
# the key, by `farm`, with its certificate beside it.
set -eu
cd /srv

# image NAME FOO: /srv/NAME is the system with our dkms and this package, and nothing built, as during an image build.
image() {
    mkdir -p "/tmp/$1/up" "/tmp/$1/work" "/srv/$1"
    mount -t overlay -o "lowerdir=/srv/system,upperdir=/tmp/$1/up,workdir=/tmp/$1/work" image "/srv/$1"
    mkdir -p "/srv/$1/etc/dkms" "/srv/$1/debs"
    touch "/srv/$1/etc/dkms/no-autoinstall"
    cp /srv/ours/dkms.deb "/srv/ours/$2.deb" "/srv/$1/debs/"
    chroot "/srv/$1" sh -c 'mount -t proc proc /proc; dpkg --force-unsafe-io -i /debs/*.deb >/dev/null; umount /proc; rm -r /debs'
}

# proven IMAGE: foo is there for every kernel of it, signed; of dkms nothing but the manifest is left, and no key.
proven() {
    [ -n "$(ls "$1/usr/lib/modules")" ]
    for kernel in "$1"/usr/lib/modules/*; do
        kernel=${kernel##*/}
        [ "$(modinfo -F signer "$1/usr/lib/modules/$kernel/updates/dkms/"foo.ko*)" = farm ]
        grep -q '^updates/dkms/foo.ko' "$1/usr/lib/modules/$kernel/modules.dep"
        jq -e --arg kernel "$kernel" '[.modules[] | select(.kernel == $kernel and .module == "foo" and .key)] | length == 1' \
            "$1/usr/lib/sysimage/dkms/manifest.json" >/dev/null
    done
    unkept "$1"
}

# unkept IMAGE: neither state nor a key.
unkept() {
    [ -z "$(ls -A "$1/var/lib/dkms" 2>/dev/null)" ]
    [ -z "$(find "$1" -xdev -name 'mok.*' ! -path '*/usr/share/*')" ]
    ! grep -rqsF "$(sed -n 5p /srv/keys/mok.pem)" "$1/etc" "$1/usr/lib/dkms" "$1/usr/lib/sysimage" "$1/var" "$1/root" "$1/tmp" "$1/run"
}

# shellcheck disable=SC2016 # the inner shell expands it
# hosted ROOT: the system that runs from there, with a read-only /usr, knows its modules, and has nothing to do.
hosted() {
    unshare --mount sh -euc '
        cd "$1"
        mount --bind usr usr
        mount -o remount,bind,ro usr
        mount -t proc proc proc
        rm -f etc/dkms/no-autoinstall
        kernels=$(ls usr/lib/modules)
        run() { chroot . "$@"; }
        ! touch usr/x 2>/dev/null
        for kernel in $kernels; do
            run dkms autoinstall -k $kernel
            [ "$(run dkms status -k $kernel)" = "foo/1.0, $kernel, x86_64: installed" ]
            run dkms verify foo/1.0 -k $kernel
        done
        run dkms doctor --json >/tmp/doctor || :
        jq -e "[.findings[] | select(.kind | startswith(\"baked\"))] == []" /tmp/doctor >/dev/null
    ' sh "$1"
}

# fails CODE WORDS COMMAND...: with this code, and says these words.
fails() {
    want=$1
    words=$2
    shift 2
    code=0
    "$@" >/tmp/said 2>&1 || code=$?
    cat /tmp/said
    [ "$code" = "$want" ] || { echo "ended with $code, not with $want: $*"; exit 1; }
    grep -q "$words" /tmp/said || { echo "does not say: $words"; exit 1; }
}

#!/bin/bash
# Builds, installs, shows and removes a real module (Debian's v4l2loopback) for a real kernel, in a private view of this
# machine: an overlay whose writes go to memory, in a mount namespace that ends with this script. Usage: demo.sh DKMS KERNEL-OFFERS
set -euo pipefail

if [ $# -ne 2 ] || [ ! -x "$1" ] || [ ! -x "$2" ]; then
    echo "usage: $0 PATH-TO-DKMS PATH-TO-KERNEL-OFFERS" >&2
    exit 2
fi
if [ "$(id -u)" -ne 0 ]; then
    echo "Error: $0 needs root, for a mount namespace of its own; nothing on this system is changed" >&2
    exit 1
fi
if [ -z "${DKMS_DEMO_VIEW:-}" ]; then
    # Packages that were fetched once are kept here.
    cache=$(dirname "$0")/../target/demo
    mkdir -p "$cache/partial"
    export DKMS_DEMO_VIEW=1 DKMS_DEMO_CACHE="$cache"
    exec unshare --mount --propagation private "$0" "$@"
fi

offer=$(realpath "$2")
say() { printf '\n== %s\n' "$*"; }

say "A private view of this system, all changes in memory"
work=$(mktemp -d)
# The mounts end with the namespace; only the empty folder is left to remove.
trap 'umount --lazy "$work"; rmdir "$work"' EXIT
mount -t tmpfs -o mode=0755 dkms-demo "$work"
view=$work/view
mkdir "$work/upper" "$work/work" "$view"
mount -t overlay -o "lowerdir=/,upperdir=$work/upper,workdir=$work/work" dkms-demo "$view"
mount -t proc proc "$view/proc"
mount --rbind /dev "$view/dev"
mount --bind "$DKMS_DEMO_CACHE" "$view/var/cache/apt/archives"
mkdir -p "$view/var/lib/dkms" "$view/etc/dkms"
mount -t tmpfs -o mode=0755 dkms-demo "$view/var/lib/dkms"
mount -t tmpfs -o mode=0755 dkms-demo "$view/etc/dkms"
cp --dereference /etc/resolv.conf "$view/etc/resolv.conf.demo" 2>/dev/null &&
    mv "$view/etc/resolv.conf.demo" "$view/etc/resolv.conf"
install -m 0755 "$1" "$view/usr/sbin/dkms"

inside() { chroot "$view" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 "$@"; }
# Root inside: apt's own user may not write to a kept cache.
apt() { inside DEBIAN_FRONTEND=noninteractive apt-get -q -y -o APT::Sandbox::User=root -o APT::Keep-Downloaded-Packages=true "$@"; }

fail() {
    echo "Error: $1" >&2
    echo "See whether the network and apt's sources are as they should be, then run \`make demo\` again" >&2
    exit 1
}
# shellcheck disable=SC1091 # it is there on every system
suite=$(. /etc/os-release && echo "${VERSION_CODENAME:-this system}")

# Packages that others can depend on, also if apt can't give them.
# shellcheck disable=SC2016
installed() { inside dpkg-query -W -f '\nPackage: ${Package}\nVersion: ${Version}\nDepends: ${Depends}\nOnly-Installed: ${db:Status-Status}\n' 'linux-*'; }
# The kernels that apt can give, the newest first.
offers() { { inside apt-cache show --no-all-versions '?name(^linux-)'; installed; } 2>/dev/null | "$offer" "$(dpkg --print-architecture)"; }
install_headers() {
    apt install --no-install-recommends "linux-headers-$1" kmod gcc make >"$work/apt.log" 2>&1
}
# try COUNT: installs headers of the newest kernels, until it works.
try() {
    kernel=
    offers 2>"$work/offers.log" | head -n "$1" | cut -d ' ' -f 1 >"$work/kernels"
    while read -r release; do
        if install_headers "$release" </dev/null; then
            kernel=$release
            return
        fi
    done <"$work/kernels"
    return 1
}
say "Headers of a kernel, and the source of Debian's v4l2loopback"
# A fresh machine has the package lists of the day that its image was made. So: the newest kernel, once more after an update, then older ones.
try 1 || { apt update >"$work/update.log" 2>&1 || :; try 99; } ||
    fail "can't install headers of a kernel of $suite: $(cat "$work/apt.log" "$work/offers.log" 2>/dev/null | grep -m 1 '^E' || echo 'apt offers none')"
echo "Linux $kernel"
fetch() { inside /bin/sh -c 'cd /var/cache/apt/archives && apt-get -q -o APT::Sandbox::User=root download v4l2loopback-dkms' >"$work/apt.log" 2>&1; }
(cd "$DKMS_DEMO_CACHE" && [ -n "$(find . -name 'v4l2loopback-dkms_*.deb')" ]) ||
    fetch || { apt update >"$work/update.log" 2>&1 || :; fetch; } ||
    fail "can't download v4l2loopback-dkms of $suite: $(grep -m 1 '^E' "$work/apt.log" || echo "apt-get failed")"
for package in "$DKMS_DEMO_CACHE"/v4l2loopback-dkms_*.deb; do
    dpkg-deb --fsys-tarfile "$package" | tar -x -C "$view" --keep-directory-symlink
done
version=$(basename "$view"/usr/src/v4l2loopback-*)
version=${version#v4l2loopback-}
module=v4l2loopback/$version

run() {
    printf '\n# %s\n' "$*"
    inside "$@"
}

# The demo is also a test: it stops where the state isn't the one that it should show.
expect() {
    local found
    found=$(inside dkms status "$module")
    if [ "$found" != "$1" ]; then
        printf "\ndemo: the status should be '%s' and is '%s'\n" "$1" "$found" >&2
        exit 1
    fi
}

say "The life of $module on Linux $kernel"
arch=$(uname -m)
run dkms --version
run dkms add "$module"
run dkms status
run dkms build "$module" -k "$kernel"
run dkms status
run dkms install "$module" -k "$kernel"
run dkms status
expect "$module, $kernel, $arch: installed"
installed=$(inside find "/lib/modules/$kernel/" -name 'v4l2loopback.ko*')
run modinfo --field description "$installed"
run modinfo --field vermagic "$installed"
run dkms remove "$module" --all
run dkms status
expect ""
if [ -n "$(inside find "/lib/modules/$kernel/" -name 'v4l2loopback.ko*')" ]; then
    echo "demo: the module is still installed" >&2
    exit 1
fi
say "Done in ${SECONDS} s; the view is gone, the system as it was"

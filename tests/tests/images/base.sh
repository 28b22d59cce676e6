# shellcheck shell=dash
# Makes what images are built of, once: programs, and repositories of Debian 12 and 13 from which they need no network. /srv/system is a
# Debian 13 with two kernels, their headers and a compiler.
printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
chmod 755 /usr/sbin/policy-rc.d
apt install mmdebstrap mkosi ostree buildah netavark uidmap apt-utils

take() { apt install --download-only "$2" "$3"; }
signed_offers cloud-amd64 "$OWN" | newest 2 take >/tmp/kernels
enough 2 cloud-amd64 /tmp/kernels
rm -f /var/cache/apt/archives/*.deb
KERNELS=$(awk '{ printf "%s,%s,", $2, $3 }' /tmp/kernels)

# repository SUITE KERNELS: /srv/mirror/SUITE, by making a system in /srv/system.
repository() {
    rm -rf /srv/system
    mmdebstrap --quiet --variant=minbase --skip=download/empty,essential/unlink,cleanup/apt --aptopt='Acquire::Languages "none"' \
        --dpkgopt=force-unsafe-io --include="$2gcc,make,patch,kmod,dpkg-dev,xz-utils,zstd" "$1" /srv/system >&2
    mkdir -p "/srv/mirror/$1/pool" "/srv/mirror/$1/dists/$1/main/binary-amd64"
    mv /srv/system/var/cache/apt/archives/*.deb "/srv/mirror/$1/pool/"
    cd "/srv/mirror/$1" || exit 1
    apt-ftparchive packages pool >"dists/$1/main/binary-amd64/Packages"
    release=-oAPT::FTPArchive::Release
    apt-ftparchive "$release::Codename=$1" "$release::Suite=$1" "$release::Components=main" "$release::Architectures=amd64" release "dists/$1" >/tmp/Release
    mv /tmp/Release "dists/$1/"
    cd /
}
repository bookworm linux-image-cloud-amd64,linux-headers-cloud-amd64,
repository trixie "$KERNELS"
rm -rf /srv/system/var/lib/apt/lists/*

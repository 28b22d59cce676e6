# Runs once in a system that tests of apt are laid over: kernels and module packages are downloaded, so that tests need no network. Told:
# COMMON, what headers of the suite's line share; MODULES.
# Stands for initramfs-tools: notes which of our modules are in place whenever an initramfs is made.
mkdir -p /pkg/DEBIAN /pkg/usr/sbin /pkg/etc/kernel/postinst.d
cat >/pkg/DEBIAN/control <<X
Package: noting-initramfs
Version: 1.0
Architecture: all
Maintainer: Nobody <nobody@example.org>
Provides: linux-initramfs-tool
Conflicts: linux-initramfs-tool
Description: notes what an initramfs would hold
X
cat >/pkg/usr/sbin/update-initramfs <<'X'
#!/bin/sh
# update-initramfs -u -k K
for K; do :; done
cd "/lib/modules/$K" && echo "$K ($1):" $(find updates -name '*.ko*' 2>/dev/null | sed 's,.*/,,; s,\.ko.*,,' | sort) >>/var/log/initramfs
: >"/boot/initrd.img-$K"
X
cat >/pkg/etc/kernel/postinst.d/initramfs-tools <<'X'
#!/bin/sh
exec update-initramfs -c -k "$1"
X
chmod 755 /pkg/usr/sbin/update-initramfs /pkg/etc/kernel/postinst.d/initramfs-tools
dpkg-deb --root-owner-group -b /pkg /var/cache/apt/noting.deb
rm -r /pkg
apt install /var/cache/apt/noting.deb linux-base

fetch() { apt install --download-only "$@"; }
# What all headers of the line share is there; the kernels' own packages are not.
# shellcheck disable=SC2086
[ -z "$COMMON" ] || apt install $COMMON
take() { fetch "$2" "$3"; }
signed_offers cloud-amd64 "$OWN" | newest 2 take >/tmp/kernels
enough 2 "the line $OWN*-cloud-amd64" /tmp/kernels
sort -V /tmp/kernels | {
    read -r OLD _ OLD_IMAGE
    read -r NEW _ NEW_IMAGE
    echo "OLD=$OLD NEW=$NEW OLD_IMAGE=$OLD_IMAGE NEW_IMAGE=$NEW_IMAGE" >/etc/kernels-of-the-test
}
rm /tmp/kernels
fetch dkms
for package in $MODULES; do
    fetch "$package-dkms"
done

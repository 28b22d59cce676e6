# Runs once in a system that tests of apt are laid over: kernels and module packages are downloaded, so that tests need no network. Told:
# KERNELS, a pattern of the image packages of a line; COMMON, what their headers share; MODULES.
apt-get -qq update
# The two newest kernels of one line that have packages; the image of the newer.
kernels=$(apt-cache search --names-only "$KERNELS" | sed 's/^linux-image-//; s/ .*//' | sort -V | tail -2)
OLD=$(echo "$kernels" | head -1)
NEW=$(echo "$kernels" | tail -1)
test "$OLD" != "$NEW"
echo "OLD=$OLD NEW=$NEW" >/etc/kernels-of-the-test

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
apt-get -qq install -y --no-install-recommends /var/cache/apt/noting.deb linux-base

fetch() { apt-get -qq install -y --no-install-recommends --download-only "$@"; }
# What all headers of the line share is there; the kernels' own packages are not.
apt-get -qq install -y --no-install-recommends $COMMON
fetch "linux-headers-$OLD" "linux-headers-$NEW" "linux-image-$NEW" "linux-image-$OLD"
fetch dkms
for package in $MODULES; do
    fetch "$package-dkms"
done

#!/bin/sh
# Boots a system with our dkms in a container, and says what dkms.service has done. Called as: sh -c … sh MOUNTPOINT SYSTEM DEB, in a mount
# namespace of its own.
set -eu
mount -t tmpfs -o mode=755 root "$1"
mkdir "$1/upper" "$1/work" "$1/root"
mount -t overlay -o "lowerdir=$2,upperdir=$1/upper,workdir=$1/work" overlay "$1/root"
root=$1/root
cp "$3" "$root/dkms.deb"
cat >"$root/etc/systemd/system/report.service" <<'X'
[Unit]
After=dkms.service
[Service]
Type=oneshot
ExecStart=/bin/sh -c 'systemctl is-active dkms.service >/report; dkms status >>/report; systemctl poweroff --no-block'
[Install]
WantedBy=multi-user.target
X
cat >"$root/prepare.sh" <<'X'
set -e
. /etc/kernels-of-the-test
K=$(uname -r)
apt-get -qq install -y --no-install-recommends /dkms.deb "linux-headers-$NEW"
mkdir -p "/lib/modules/$K" /usr/src/one-1.0
ln -s "/usr/src/linux-headers-$NEW" "/lib/modules/$K/build"
cd "/lib/modules/$K"
touch modules.order modules.builtin modules.builtin.modinfo
depmod "$K"
cd /usr/src/one-1.0
cat >dkms.conf <<Y
PACKAGE_NAME=one
PACKAGE_VERSION=1.0
BUILT_MODULE_NAME=one
DEST_MODULE_LOCATION=/extra
AUTOINSTALL=yes
Y
echo 'obj-m := one.o' >Makefile
printf '#include <linux/module.h>\nMODULE_LICENSE("GPL");\n' >one.c
dkms add one/1.0
systemctl is-enabled dkms.service
systemctl enable report.service
X
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive sh /prepare.sh 2>&1
umount "$root/proc"
umount -l "$root/dev"
timeout 300 systemd-nspawn --register=no --keep-unit --quiet -D "$root" -b </dev/null >/dev/null 2>&1 || true
echo REPORT
cat "$root/report"

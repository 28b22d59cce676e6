# shellcheck shell=sh
# Boots a system with cloud-init and our package: cloud.sh SYSTEM DEB UNIT. SYSTEM: the layers of an overlay. Where UNIT is not
# empty, it is a line that dkms.service has besides. Prints what `systemd-analyze verify` says, the console, and what became of units.
set -eu
base=$(mktemp -d)
mount -t tmpfs -o mode=755 root "$base"
mkdir "$base/upper" "$base/work" "$base/root"
mount -t overlay -o "lowerdir=$1,upperdir=$base/upper,workdir=$base/work" overlay "$base/root"
root=$base/root
cp "$2" "$root/dkms.deb"
mount -t proc proc "$root/proc"
chroot "$root" dpkg -i --force-depends /dkms.deb >"$base/log" 2>&1 || { cat "$base/log"; exit 1; }
units=$root/etc/systemd/system
mkdir -p "$root/var/lib/cloud/seed/nocloud" "$units/multi-user.target.wants" "$units/graphical.target.wants"
printf 'instance-id: test\nlocal-hostname: test\n' >"$root/var/lib/cloud/seed/nocloud/meta-data"
echo '#cloud-config' >"$root/var/lib/cloud/seed/nocloud/user-data"
# As on cloud images; there is no network to wait for.
for unit in systemd-networkd.service systemd-networkd-wait-online.service cloud-init.target; do
    ln -sf "/usr/lib/systemd/system/$unit" "$units/multi-user.target.wants/"
done
mkdir -p "$units/systemd-networkd-wait-online.service.d"
printf '[Service]\nExecStart=\nExecStart=/bin/true\n' >"$units/systemd-networkd-wait-online.service.d/test.conf"
if [ -n "$3" ]; then
    mkdir -p "$units/dkms.service.d"
    printf '[Unit]\n%s\n' "$3" >"$units/dkms.service.d/test.conf"
fi
cat >"$units/report.service" <<'X'
[Unit]
After=multi-user.target cloud-final.service dkms.service
[Service]
Type=oneshot
ExecStart=/bin/sh -c 'systemctl show -P ActiveState dkms.service cloud-final.service; systemctl poweroff'
StandardOutput=file:/report
X
ln -s ../report.service "$units/graphical.target.wants/"
ln -sf /usr/lib/systemd/system/graphical.target "$units/default.target"
: >"$root/etc/machine-id"
chroot "$root" systemd-analyze verify --man=no multi-user.target cloud-init.target dkms.service 2>&1 || :
umount "$root/proc"
timeout 300 systemd-nspawn --register=no --keep-unit --quiet --private-network --boot --directory="$root" </dev/null 2>&1 || :
echo "units: $(grep . "$root/report" | tr '\n' ' ')"

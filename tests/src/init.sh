#!/bin/sh
# The first process of a guest: runs the test's script, says how it ended, and switches the guest off.
export PATH=/sbin:/bin HOME=/root LC_ALL=C
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mount -t securityfs securityfs /sys/kernel/security
exec </dev/null >/dev/console 2>&1
echo
echo "guest: begins"
# Busybox's shell would take its own.
for name in modprobe insmod rmmod modinfo depmod; do
    echo "$name() { /sbin/$name \"\$@\"; }"
done >/functions
cat /functions /script >/whole
sh /whole
echo "guest: ended with $?"
poweroff -f

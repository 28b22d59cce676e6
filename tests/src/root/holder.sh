# Holds a fresh root: an overlay of a system (this machine's is /) with a tmpfs on top, in mount and pid namespaces of its own.
# Called as: holder.sh MOUNTPOINT SYSTEM [NAME PROGRAM]...  It says its pid (as the machine counts), then stays until its
# stdin ends; then everything in the pid namespace is killed, and the mounts are gone with their namespace.
set -eu
read -r pid rest </proc/self/stat
umask 022
base=$1
system=$2
shift 2
mount -t tmpfs -o mode=755 root "$base"
mkdir "$base/upper" "$base/work" "$base/root"
mount -t overlay -o "lowerdir=$system,upperdir=$base/upper,workdir=$base/work" overlay "$base/root"
cd "$base/root"
mount -t proc proc proc
mount --rbind /dev dev
mount --rbind /sys sys
mount -t tmpfs -o mode=1777 tmp tmp
while [ $# -gt 0 ]; do
    mkdir -p "opt/$1"
    : >"opt/$1/dkms"
    mount --bind "$2" "opt/$1/dkms"
    shift 2
done
mkdir -p .machine
pivot_root . .machine
cd /
umount -l /.machine
rmdir /.machine
if [ "$system" = / ]; then
    # Nothing that the machine may have of DKMS, nor kernels but those that the test makes.
    rm -rf /etc/dkms /var/lib/dkms /etc/modprobe.d/dkms* /lib/modules /usr/share/dkms /usr/lib/dkms /etc/kernel/*.d/dkms
    for source in /usr/src/*; do
        case $source in
        */linux-headers-* | */linux-kbuild-*) ;;
        *) rm -rf "$source" ;;
        esac
    done
    mkdir -p /etc/dkms /var/lib/dkms /lib/modules
fi
echo "$pid"
exec cat >/dev/null

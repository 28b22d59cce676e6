# Runs a script in a system, as its root. Called as: sh -c … sh LOWER LAYER SCRIPT, in mount and pid namespaces of its own. What the script
# changes over the layers LOWER is in LAYER/root afterwards; without LOWER it changes LAYER/root itself.
set -e
lower=$1
layer=$2
script=$3
system=$layer/root
copied=
if [ -n "$lower" ]; then
    system=$layer/mnt
    mkdir -p "$system" "$layer/work" "$layer/root"
    if ! mount -t overlay -o "lowerdir=$lower,upperdir=$layer/root,workdir=$layer/work,redirect_dir=off,metacopy=off" overlay "$system" 2>/dev/null; then
        # The cache itself lies on an overlay, which can't be another's upper layer.
        copied=$layer/memory
        mkdir -p "$copied"
        mount -t tmpfs -o mode=0755 layer "$copied"
        mkdir "$copied/root" "$copied/work"
        mount -t overlay -o "lowerdir=$lower,upperdir=$copied/root,workdir=$copied/work,redirect_dir=off,metacopy=off" overlay "$system"
    fi
fi
mount -t proc proc "$system/proc"
mount --rbind /dev "$system/dev"
chroot "$system" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive sh -ec "$script" </dev/null
if [ -n "$lower" ]; then
    umount -l "$system/dev"
    umount "$system/proc"
    umount -l "$system"
    [ -z "$copied" ] || cp -a --preserve=xattr "$copied/root/." "$layer/root/"
    [ -z "$copied" ] || umount -l "$copied"
    rm -rf "$layer/mnt" "$layer/work" "$layer/memory"
fi

# shellcheck shell=sh
# Stands before what a root does with a disk that a machine boots from. The disk is the file /srv/disk; its last partition, which begins at
# the byte START, has a whole system: a copy of the root. Boot loaders' own tools run in that system, and take the disk's two devices for
# /dev/sda and /dev/sdb. Their own names, /dev/loopN, would not do: grub-mkconfig boots no file system on such a device.

# A folder of devices of our own: a device that is made is none of the machine's.
own_devices() {
    mkdir /srv/devices
    mount -t tmpfs devices /srv/devices
    cp -a /dev/null /dev/zero /dev/full /dev/random /dev/urandom /dev/tty /dev/loop* /srv/devices
    ln -s /proc/self/fd /srv/devices/fd
    mount --move /srv/devices /dev
    rmdir /srv/devices
}

# on NAME OFFSET COMMAND: with the disk from there on as /dev/NAME, which is detached when nobody uses it any more.
on() {
    # The table's second copy may lie in the last MiB.
    loop=$(losetup --show --find --offset "$2" --sizelimit "$((1073741824 - 1048576 - $2))" /srv/disk)
    rm -f "/dev/$1"
    cp -a "$loop" "/dev/$1"
    shift 2
    code=0
    "$@" || code=$?
    losetup --detach "$loop"
    return "$code"
}

# The system of the disk becomes /disk.
attach() {
    on sdb "$START" mount /dev/sdb /disk
    for folder in dev proc sys; do
        mount --rbind "/$folder" "/disk/$folder"
    done
    mount -t tmpfs run /disk/run
}

detach() {
    umount --recursive /disk
}

# make_disk PARTITIONS: with a copy of this system, without what no test of a boot loader needs.
make_disk() {
    truncate -s 1G /srv/disk
    printf '%s\n' "$1" | sfdisk --quiet /srv/disk
    on sdb "$START" mkfs.ext4 -q /dev/sdb
    mkdir -p /disk
    on sdb "$START" mount /dev/sdb /disk
    set -- ./srv ./disk ./run ./tmp ./var/lib/apt/lists ./var/cache ./usr/share/doc ./usr/share/locale ./usr/share/man ./usr/lib/grub/x86_64-efi
    for folder; do
        set -- "$@" --exclude="$folder"
        shift
    done
    tar -c --one-file-system "$@" -C / . | tar -x -C /disk
    mkdir -p /disk/srv /disk/run /disk/tmp /disk/var/cache/apt/archives/partial /disk/var/lib/apt/lists/partial
    umount /disk
    attach
}

# GRUB in the boot sector, and its menu. The core image needs the module that reads the partition table.
install_grub() {
    on sda 0 chroot /disk grub-install --target=i386-pc --modules=part_msdos /dev/sda
    chroot /disk update-grub
}

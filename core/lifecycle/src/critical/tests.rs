//! Made-up machines: trees of proc and sysfs as real ones have them, and what follows.

use std::path::Path;

use super::facts::{Index, Place, Supplies, Supply};
use super::look::{add_dependencies, machine};
use super::{Answer, decide};
use crate::conf::settings::CriticalModules;
use crate::host::fs;
use crate::id::{ModuleName, Target};
use crate::layout::Layout;

struct World {
    _dir: tempfile::TempDir,
    layout: Layout,
    supplies: Supplies,
    index: Index,
    mounts: String,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::under(dir.path());
        let world = Self {
            _dir: dir,
            layout,
            supplies: Supplies::new(),
            index: Index::default(),
            mounts: String::new(),
        };
        world.write("/sys/devices/x", "")
    }

    fn write(self, path: &str, text: &str) -> Self {
        let path = self.layout.at(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write_whole(&path, text.as_bytes(), 0o644).unwrap();
        self
    }

    fn link(self, from: &str, to: &str) -> Self {
        let (from, to) = (self.layout.at(from), self.layout.at(to));
        fs::create_dir_all(from.parent().unwrap()).unwrap();
        fs::create_dir_all(&to).unwrap();
        fs::symlink(&to, &from).unwrap();
        self
    }

    fn mount(mut self, device: &str, place: &str, kind: &str, source: &str) -> Self {
        self.mounts.push_str(&format!("1 1 {device} / {place} rw - {kind} {source} rw\n"));
        let text = self.mounts.clone();
        self.write("/proc/self/mountinfo", &text)
    }

    /// A driver of a device.
    fn driver(self, device: &str, module: &str) -> Self {
        let driver = format!("/sys/bus/any/drivers/{module}");
        self.link(&format!("/sys/devices/{device}/driver"), &driver)
            .link(&format!("{driver}/module"), &format!("/sys/module/{module}"))
    }

    /// A block device by number and by name.
    fn block(self, device: &str, number: &str) -> Self {
        let name = Path::new(device).file_name().unwrap().to_str().unwrap().to_owned();
        let path = format!("/sys/devices/{device}");
        self.link(&format!("/sys/dev/block/{number}"), &path)
            .link(&format!("/sys/class/block/{name}"), &path)
            .write(&format!("{path}/dev"), number)
    }

    fn net(self, name: &str, path: &str) -> Self {
        self.link(&format!("/sys/class/net/{name}"), &format!("/sys/devices/{path}"))
    }

    fn route(self, device: &str) -> Self {
        let head = "Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT\n";
        let default = format!("{device} 00000000 0100000A 0003 0 0 0 00000000 0 0 0\n");
        self.write("/proc/net/route", &format!("{head}{default}"))
    }

    fn dep(mut self, text: &str) -> Self {
        add_dependencies(&mut self.index, text);
        self
    }

    /// A module of dkms with one kernel module.
    fn supply(mut self, name: &str, module: &str, aliases: &[&str]) -> Self {
        let supply = self.supplies.entry(ModuleName::new(name).unwrap()).or_default();
        supply.modules.insert(module.to_owned(), aliases.iter().map(|&alias| alias.to_owned()).collect());
        self
    }

    fn answers(&self, place: Place) -> Vec<(String, Answer)> {
        let kernels: [Target; 0] = [];
        let machine = machine(place, &self.layout, &kernels, &self.supplies);
        let answers = decide(&CriticalModules::Auto, &machine, &self.supplies, &self.index).0;
        answers.into_iter().map(|(name, answer)| (name.to_string(), answer)).collect()
    }

    /// The critical ones with their reasons; every other one is known not to be.
    fn critical(&self, place: Place) -> Vec<String> {
        let answers = self.answers(place);
        assert!(answers.iter().all(|(_, answer)| answer.critical.is_some()), "{answers:?}");
        let critical = answers.into_iter().filter(|(_, answer)| answer.critical == Some(true));
        critical.map(|(name, answer)| format!("{name}: {}", answer.why)).collect()
    }
}

const DISK: &str = "pci0/0000:00:04.0/virtio1/block/vda";

fn virtio() -> World {
    World::new()
        .driver("pci0/0000:00:04.0", "virtio_pci")
        .driver("pci0/0000:00:04.0/virtio1", "virtio_blk")
        .block(DISK, "254:0")
        .block(&format!("{DISK}/vda1"), "254:1")
        .write(&format!("/sys/devices/{DISK}/vda1/partition"), "1")
        .mount("254:1", "/", "ext4", "/dev/vda1")
}

#[test]
fn a_plain_disk_needs_its_drivers_and_its_file_system() {
    let world = virtio()
        .supply("virtio-fast", "virtio_blk", &["virtio:d00000002v*"])
        .supply("ext4-next", "ext4", &["fs-ext4"])
        .supply("other", "other", &[])
        .supply("zfs", "zfs", &["fs-zfs"]);
    assert_eq!(
        world.critical(Place::Machine),
        ["ext4-next: root file system", "virtio-fast: root file system"]
    );
}

#[test]
fn a_module_that_a_needed_one_depends_on_is_needed() {
    let world = virtio()
        .dep("kernel/fs/ext4.ko: updates/jbd3.ko.xz\nupdates/jbd3.ko.xz: updates/spl-x.ko\nupdates/spl-x.ko:\n")
        .supply("spl", "spl_x", &[])
        .supply("unused", "unused", &[]);
    assert_eq!(world.critical(Place::Machine), ["spl: root file system"]);
}

#[test]
fn an_encrypted_volume_needs_its_target_and_the_disk_below() {
    let nvme = "pci0/0000:01:00.0/nvme/nvme0/nvme0n1";
    let world = World::new()
        .driver("pci0/0000:01:00.0", "nvme")
        .block(nvme, "259:0")
        .block(&format!("{nvme}/nvme0n1p3"), "259:3")
        .write(&format!("/sys/devices/{nvme}/nvme0n1p3/partition"), "3")
        .block("virtual/block/dm-0", "253:0")
        .write("/sys/devices/virtual/block/dm-0/dm/uuid", "CRYPT-LUKS2-0123-root")
        .link("/sys/devices/virtual/block/dm-0/slaves/nvme0n1p3", &format!("/sys/devices/{nvme}/nvme0n1p3"))
        .mount("253:0", "/", "xfs", "/dev/mapper/root")
        .write("/proc/modules", "dm_cachex 1 2 - Live 0x0\ndm_idle 1 0 - Live 0x0\n")
        .supply("nvme-oot", "nvme", &[])
        .supply("crypt", "dm_crypt", &[])
        .supply("cache", "dm_cachex", &["dm-cachex"])
        .supply("idle", "dm_idle", &[]);
    let because = "root file system";
    assert_eq!(
        world.critical(Place::Machine),
        ["cache", "crypt", "nvme-oot"].map(|name| format!("{name}: {because}"))
    );
}

#[test]
fn a_pool_of_zfs_needs_the_disks_of_its_cache_or_every_disk() {
    let with = |cache: &[u8]| {
        let world = World::new()
            .driver("pci0/0000:00:1f.2", "ahci-oot")
            .block("pci0/0000:00:1f.2/ata1/host0/target0/0:0:0:0/block/sda", "8:0")
            .driver("pci0/0000:00:1f.2/ata1/host0/target0/0:0:0:0", "sd_mod")
            .write("/sys/devices/pci0/0000:00:1f.2/ata1/host0/scsi_host/host0/proc_name", "hba_x\n")
            .driver("pci0/0000:02:00.0", "usbdisk")
            .block("pci0/0000:02:00.0/block/sdb", "8:16")
            .link("/sys/block/sda", "/sys/devices/pci0/0000:00:1f.2/ata1/host0/target0/0:0:0:0/block/sda")
            .link("/sys/block/sdb", "/sys/devices/pci0/0000:02:00.0/block/sdb")
            .write("/sys/devices/pci0/0000:00:1f.2/ata1/host0/target0/0:0:0:0/block/sda/device/x", "")
            .write("/sys/devices/pci0/0000:02:00.0/block/sdb/device/x", "")
            .write("/dev/sda", "")
            .mount("0:30", "/", "zfs", "rpool/ROOT/debian")
            .supply("zfs", "zfs", &[])
            .supply("zfs", "spl", &[])
            .supply("ahci", "ahci_oot", &[])
            .supply("hba", "hba_x", &[])
            .supply("usbdisk", "usbdisk", &[]);
        if !cache.is_empty() {
            fs::create_dir_all(&world.layout.at("/etc/zfs")).unwrap();
            fs::write_whole(&world.layout.at("/etc/zfs/zpool.cache"), cache, 0o644).unwrap();
        }
        let critical = world.critical(Place::Machine);
        critical.into_iter().map(|line| line.split(':').next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(with(b"\0\x04path\0\0\x08/dev/sda\0\x01"), ["ahci", "hba", "zfs"]);
    assert_eq!(with(b""), ["ahci", "hba", "usbdisk", "zfs"]);
}

#[test]
fn an_array_needs_its_level_and_its_members() {
    let world = World::new()
        .driver("pci0/0000:03:00.0", "megasr")
        .block("pci0/0000:03:00.0/block/sdc", "8:32")
        .block("virtual/block/md0", "9:0")
        .write("/sys/devices/virtual/block/md0/md/level", "raid1\n")
        .link("/sys/devices/virtual/block/md0/slaves/sdc", "/sys/devices/pci0/0000:03:00.0/block/sdc")
        .mount("254:1", "/", "ext4", "/dev/vda1")
        .mount("9:0", "/usr", "ext4", "/dev/md0")
        .supply("megasr", "megasr", &[])
        .supply("raid-x", "raid_x", &["md-raid1"])
        .supply("raid-y", "raid_y", &["md-raid5"]);
    assert_eq!(world.critical(Place::Machine), ["megasr: /usr", "raid-x: /usr"]);
}

#[test]
fn btrfs_needs_every_device_that_it_is_on() {
    let world = World::new()
        .driver("pci0/0000:00:05.0", "one")
        .driver("pci0/0000:00:06.0", "two")
        .driver("pci0/0000:00:07.0", "three")
        .block("pci0/0000:00:05.0/block/vdb", "254:16")
        .block("pci0/0000:00:06.0/block/vdc", "254:32")
        .block("pci0/0000:00:07.0/block/vdd", "254:48")
        .write("/dev/vdb", "")
        .link("/sys/fs/btrfs/11-22/devices/vdb", "/sys/devices/pci0/0000:00:05.0/block/vdb")
        .link("/sys/fs/btrfs/11-22/devices/vdc", "/sys/devices/pci0/0000:00:06.0/block/vdc")
        .link("/sys/fs/btrfs/33-44/devices/vdd", "/sys/devices/pci0/0000:00:07.0/block/vdd")
        .mount("0:25", "/", "btrfs", "/dev/vdb")
        .supply("one", "one", &[])
        .supply("two", "two", &[])
        .supply("three", "three", &[]);
    assert_eq!(world.critical(Place::Machine), ["one: root file system", "two: root file system"]);
}

#[test]
fn a_bond_with_a_vlan_needs_the_cards_below_it() {
    let world = virtio()
        .driver("pci0/0000:05:00.0", "r8168")
        .net("enp5s0", "pci0/0000:05:00.0/net/enp5s0")
        .link("/sys/devices/pci0/0000:05:00.0/net/enp5s0/device", "/sys/devices/pci0/0000:05:00.0")
        .net("bond0", "virtual/net/bond0")
        .write("/sys/devices/virtual/net/bond0/uevent", "DEVTYPE=bond\nINTERFACE=bond0\n")
        .write("/sys/devices/virtual/net/bond0/bonding/slaves", "enp5s0\n")
        .net("bond0.7", "virtual/net/bond0.7")
        .write("/sys/devices/virtual/net/bond0.7/uevent", "DEVTYPE=vlan\n")
        .link("/sys/devices/virtual/net/bond0.7/lower_bond0", "/sys/devices/virtual/net/bond0")
        .route("bond0.7")
        .supply("r8168", "r8168", &["pci:v000010ECd00008168*"])
        .supply("bonding-x", "bonding_x", &["rtnl-link-bond"])
        .supply("igb", "igb", &[]);
    let because = "network of the default route";
    assert_eq!(
        world.critical(Place::Machine),
        [format!("bonding-x: {because}"), format!("r8168: {because}")]
    );
}

#[test]
fn a_wireless_default_route_needs_its_driver_and_the_stack_above() {
    let world = virtio()
        .driver("pci0/0000:06:00.0", "wl")
        .net("wlan0", "pci0/0000:06:00.0/net/wlan0")
        .link("/sys/devices/pci0/0000:06:00.0/net/wlan0/device", "/sys/devices/pci0/0000:06:00.0")
        .write("/sys/devices/pci0/0000:06:00.0/net/wlan0/uevent", "DEVTYPE=wlan\n")
        .write(
            "/proc/net/ipv6_route",
            "00000000000000000000000000000000 00 00000000000000000000000000000000 00 \
             fe800000000000000000000000000001 00000400 00000001 00000000 00000003 wlan0\n\
             00000000000000000000000000000000 00 00000000000000000000000000000000 00 \
             00000000000000000000000000000000 ffffffff 00000001 00000000 00200200 lo\n",
        )
        .dep("updates/wl.ko: updates/cfg80211.ko\n")
        .supply("broadcom-sta", "wl", &[])
        .supply("backport", "cfg80211", &[]);
    let because = "network of the default route";
    assert_eq!(
        world.critical(Place::Machine),
        [format!("backport: {because}"), format!("broadcom-sta: {because}")]
    );
}

#[test]
fn the_display_of_the_firmware_and_a_keyboard_count() {
    let pci = "/sys/bus/pci/devices";
    let world = virtio()
        .driver("pci0/0000:07:00.0", "nvidia")
        .driver("pci0/0000:08:00.0", "amdgpu")
        .link(&format!("{pci}/0000:07:00.0"), "/sys/devices/pci0/0000:07:00.0")
        .link(&format!("{pci}/0000:08:00.0"), "/sys/devices/pci0/0000:08:00.0")
        .write("/sys/devices/pci0/0000:07:00.0/boot_vga", "1\n")
        .write("/sys/devices/pci0/0000:08:00.0/boot_vga", "0\n")
        .driver("usb1/1-1/hid", "razerkbd")
        .driver("usb1/1-2/hid", "razermouse")
        .link("/sys/class/input/input3", "/sys/devices/usb1/1-1/hid/input/input3")
        .link("/sys/class/input/input4", "/sys/devices/usb1/1-2/hid/input/input4")
        .write("/sys/devices/usb1/1-1/hid/input/input3/capabilities/key", "ff 0 fffffffffffffffe\n")
        .write("/sys/devices/usb1/1-2/hid/input/input4/capabilities/key", "1f0000 0 0 0 0\n")
        .supply("nvidia-current", "nvidia", &[])
        .supply("nvidia-current", "nvidia_drm", &[])
        .supply("amdgpu-pro", "amdgpu", &[])
        .supply("openrazer", "razerkbd", &[])
        .supply("openrazer-mouse", "razermouse", &[]);
    assert_eq!(world.critical(Place::Machine), ["nvidia-current: boot display", "openrazer: keyboard"]);
}

#[test]
fn the_device_that_the_system_resumes_from_counts() {
    let world = virtio()
        .driver("pci0/0000:00:08.0", "swapdisk")
        .block("pci0/0000:00:08.0/block/vdz", "254:99")
        .write("/sys/power/resume", "254:99\n")
        .supply("swapdisk", "swapdisk", &[]);
    assert_eq!(world.critical(Place::Machine), ["swapdisk: resume from swap"]);
}

#[test]
fn an_image_is_judged_by_its_tables() {
    let world = World::new()
        .write(
            "/etc/fstab",
            "# x\nrpool/root / zfs defaults 0 0\n/dev/mapper/u /usr ext4 ro 0 2\n/dev/x /srv xfs\n",
        )
        .write("/etc/crypttab", "# target source\nu UUID=1 none luks\n")
        .supply("zfs", "zfs", &[])
        .supply("crypt", "dm_crypt", &[])
        .supply("xfs-x", "xfs", &[])
        .supply("quiet", "quiet", &[]);
    let because = ["crypt: encrypted volume of crypttab", "zfs: root file system"];
    assert_eq!(world.critical(Place::Image), because);
    // Which devices the machine has is not known.
    let world = world.supply("card", "card", &["pci:v1d2*"]);
    let answers = world.answers(Place::Image);
    let card = answers.iter().find(|(name, _)| name == "card").unwrap();
    assert_eq!(card.1.critical, None, "{card:?}");
}

#[test]
fn what_cannot_be_asked_is_unknown() {
    for (place, what) in [(Place::Machine, "mountinfo"), (Place::Image, "no fstab")] {
        let answers = World::new().supply("a", "a", &[]).answers(place);
        assert_eq!(answers[0].1.critical, None);
        assert!(answers[0].1.why.contains(what), "{answers:?}");
    }
}

#[test]
fn the_admins_word_counts_first() {
    let world = virtio().supply("ext4-next", "ext4", &[]).supply("b", "b", &[]).supply("c", "c", &[]);
    let decided = |setting: &CriticalModules, word: Option<bool>| {
        let mut supplies = world.supplies.clone();
        supplies.insert(ModuleName::new("c").unwrap(), Supply { word, ..Supply::default() });
        let machine = machine(Place::Machine, &world.layout, &[], &supplies);
        let found = decide(setting, &machine, &supplies, &world.index);
        found.names().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(decided(&CriticalModules::Auto, None), ["ext4-next"]);
    assert_eq!(decided(&CriticalModules::Auto, Some(true)), ["c", "ext4-next"]);
    assert_eq!(decided(&CriticalModules::None, Some(true)), ["c"]);
    let b = CriticalModules::Names(vec!["b".to_owned(), "c".to_owned()]);
    assert_eq!(decided(&b, Some(false)), ["b"]);
}

#[test]
fn patterns_are_those_of_aliases() {
    use super::decide::matches;
    assert!(matches("block-major-43-*", "block-major-43-0") && matches("a?c*", "abcd"));
    assert!(!matches("fs-ext4", "fs-ext") && !matches("dm-*x", "dm-y") && matches("*", ""));
}

//! The chain of devices below the file systems that a machine boots from, and below the device of a
//! hibernated system.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::device::{self, names, text};
use super::facts::{Need, Role, Wants};
use crate::host::fs;
use crate::layout::Layout;

/// A mounted file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mount {
    pub(super) device: String,
    pub(super) place: String,
    pub(super) kind: String,
    pub(super) source: String,
}

/// The role of a place where a file system is mounted.
pub(super) fn role_of(place: &str) -> Option<Role> {
    match place {
        "/" => Some(Role::Root),
        "/usr" => Some(Role::Usr),
        "/boot" | "/boot/efi" | "/efi" => Some(Role::Boot),
        _ => None,
    }
}

/// `/proc/self/mountinfo`; what is mounted over something else counts.
pub(super) fn mounts(text: &str) -> Vec<Mount> {
    let mount = |line: &str| {
        let (before, after) = line.split_once(" - ")?;
        let (before, after): (Vec<&str>, Vec<&str>) =
            (before.split(' ').collect(), after.split(' ').collect());
        Some(Mount {
            device: (*before.get(2)?).to_owned(),
            place: unescaped(before.get(4)?),
            kind: (*after.first()?).to_owned(),
            source: unescaped(after.get(1)?),
        })
    };
    let mut mounts: Vec<Mount> = Vec::new();
    for mount in text.lines().filter_map(mount) {
        mounts.retain(|under| under.place != mount.place);
        mounts.push(mount);
    }
    mounts
}

/// Blanks stand in tables of mounts as `\040`.
pub(super) fn unescaped(text: &str) -> String {
    ["\\040 ", "\\011\t", "\\012\n", "\\134\\"]
        .iter()
        .fold(text.to_owned(), |text, pair| text.replace(&pair[..4], &pair[4..]))
}

/// What the file systems need, and the device that the system resumes from; `None`: there is no table of
/// mounts with a root in it.
pub(super) fn needs(layout: &Layout) -> Option<Vec<Need>> {
    let mounts = mounts(&text(&layout.at("/proc/self/mountinfo"))?);
    mounts.iter().find(|mount| mount.place == "/")?;
    let mut chain = Chain { layout, role: Role::Root, seen: BTreeSet::new(), needs: Vec::new() };
    for mount in &mounts {
        let Some(role) = role_of(&mount.place) else { continue };
        chain.begin(role);
        chain.mount(mount);
    }
    chain.begin(Role::Resume);
    let numbers = text(&layout.at("/sys/power/resume")).filter(|numbers| numbers != "0:0");
    if let Some(numbers) = numbers {
        chain.block(&layout.at("/sys/dev/block").join(numbers));
    }
    let cmdline = text(&layout.at("/proc/cmdline")).unwrap_or_default();
    if let Some(source) = cmdline.split_whitespace().find_map(|word| word.strip_prefix("resume=")) {
        let source = source
            .strip_prefix("UUID=")
            .map_or_else(|| source.to_owned(), |uuid| format!("/dev/disk/by-uuid/{uuid}"));
        chain.named(&source);
    }
    Some(chain.needs)
}

struct Chain<'a> {
    layout: &'a Layout,
    role: Role,
    seen: BTreeSet<PathBuf>,
    needs: Vec<Need>,
}

impl Chain<'_> {
    fn begin(&mut self, role: Role) {
        self.role = role;
        self.seen.clear();
    }

    fn want(&mut self, wants: Wants) {
        self.needs.push(Need::new(self.role, wants));
    }

    fn mount(&mut self, mount: &Mount) {
        let Mount { device, kind, source, .. } = mount;
        let kind = if kind == "fuseblk" { "fuse" } else { kind.split('.').next().unwrap_or(kind) };
        self.want(Wants::Alias(format!("fs-{kind}")));
        match kind {
            "zfs" => self.pool(),
            _ if !device.starts_with("0:") => self.block(&self.layout.at("/sys/dev/block").join(device)),
            _ => {
                // File systems on several devices: btrfs, bcachefs.
                source.split(':').for_each(|part| self.named(part));
                if kind == "btrfs" {
                    self.btrfs(source);
                }
            }
        }
    }

    /// Every device of the btrfs that one of them belongs to.
    fn btrfs(&mut self, source: &str) {
        let Some(own) = self.name_of(source) else { return };
        let all = self.layout.at("/sys/fs/btrfs");
        for folder in names(&all).iter().map(|id| all.join(id).join("devices")) {
            let devices = names(&folder);
            if devices.contains(&own) {
                devices.iter().for_each(|name| self.block(&self.layout.at("/sys/class/block").join(name)));
            }
        }
    }

    /// The devices of the pools that the cache names; without a cache, every disk may be one of them.
    fn pool(&mut self) {
        let cache = fs::read_limited(&self.layout.at("/etc/zfs/zpool.cache"), 16 << 20).unwrap_or_default();
        let found: BTreeSet<String> =
            paths_in(&cache).into_iter().filter_map(|path| self.name_of(&path)).collect();
        let disks = || {
            let folder = self.layout.at("/sys/block");
            names(&folder).into_iter().filter(|name| fs::exists(&folder.join(name).join("device"))).collect()
        };
        let found: BTreeSet<String> = if found.is_empty() { disks() } else { found };
        found.iter().for_each(|name| self.block(&self.layout.at("/sys/class/block").join(name)));
    }

    /// The kernel's name of a device that a path of `/dev` leads to.
    fn name_of(&self, source: &str) -> Option<String> {
        let path = self.layout.at(source.strip_prefix("/dev/").map(|_| source)?);
        let path = fs::canonical(&path).unwrap_or(path);
        let name = path.file_name()?.to_str()?.to_owned();
        fs::exists(&self.layout.at("/sys/class/block").join(&name)).then_some(name)
    }

    fn named(&mut self, source: &str) {
        if let Some(name) = self.name_of(source) {
            self.block(&self.layout.at("/sys/class/block").join(name));
        }
    }

    /// A block device: its drivers, or what it is made of.
    fn block(&mut self, device: &Path) {
        let Ok(device) = fs::canonical(device) else { return };
        if !self.seen.insert(device.clone()) {
            return;
        }
        // A partition's disk has the rest.
        if fs::exists(&device.join("partition"))
            && let Some(disk) = device.parent()
        {
            return self.block(disk);
        }
        let below = names(&device.join("slaves"));
        below.iter().for_each(|name| self.block(&device.join("slaves").join(name)));
        let is_virtual = device.ancestors().any(|above| above.ends_with("devices/virtual"));
        if is_virtual {
            self.virtual_block(&device);
        } else {
            device::drivers(&device).into_iter().for_each(|wants| self.want(wants));
        }
    }

    /// One without a driver in sysfs: by its name, its number, and what its kind shows.
    fn virtual_block(&mut self, device: &Path) {
        let name = device.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        // A disk with several paths: each is a device of its own.
        let subsystem = device.parent().filter(|parent| fs::exists(&parent.join("subsysnqn")));
        if let Some(subsystem) = subsystem {
            for path in names(subsystem).iter().filter(|other| other.starts_with("nvme") && **other != name) {
                device::drivers(&subsystem.join(path)).into_iter().for_each(|wants| self.want(wants));
            }
            return;
        }
        let stem = name.trim_end_matches(|c: char| c.is_ascii_digit()).trim_end_matches('-');
        if let Some(numbers) = text(&device.join("dev")) {
            self.want(Wants::Alias(format!("block-major-{}", numbers.replace(':', "-"))));
        }
        match stem {
            "dm" => {
                self.want(Wants::Module("dm_mod".to_owned()));
                let id = text(&device.join("dm/uuid")).unwrap_or_default();
                let target = match id.split('-').next() {
                    Some("CRYPT") => Some("dm-crypt"),
                    Some("mpath") => Some("dm-multipath"),
                    Some("VDO") => Some("dm-vdo"),
                    _ => None,
                };
                target.into_iter().for_each(|target| self.want(Wants::Alias(target.to_owned())));
                // Which targets a table has is not in sysfs.
                self.want(Wants::InUse("dm-"));
            }
            "md" | "md_d" => {
                self.want(Wants::Module("md_mod".to_owned()));
                if let Some(level) = text(&device.join("md/level")) {
                    self.want(Wants::Alias(format!("md-{level}")));
                }
            }
            "zd" => {
                self.want(Wants::Module("zfs".to_owned()));
                self.pool();
            }
            _ => self.want(Wants::Module(stem.to_owned())),
        }
    }
}

/// The paths of devices among other bytes.
fn paths_in(bytes: &[u8]) -> BTreeSet<String> {
    let texts = bytes.split(|byte| !(0x20..0x7f).contains(byte));
    texts
        .filter_map(|text| std::str::from_utf8(text).ok())
        .filter_map(|text| text.find("/dev/").map(|at| text[at..].to_owned()))
        .collect()
}

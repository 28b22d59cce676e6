//! What is known of the machine of an image: its fstab, its crypttab, its kernel's command line.

use super::device::text;
use super::facts::{Need, Role, Wants};
use super::storage::{role_of, unescaped};
use crate::host::fs;
use crate::layout::Layout;

/// What the image's tables need; `None`: it has none of them.
pub(super) fn needs(layout: &Layout) -> Option<Vec<Need>> {
    let read = |path: &str| text(&layout.at(path));
    let (fstab, crypttab) = (read("/etc/fstab"), read("/etc/crypttab"));
    let cmdline = read("/etc/kernel/cmdline");
    let cache = fs::exists(&layout.at("/etc/zfs/zpool.cache"));
    let is_there = fstab.is_some() || crypttab.is_some() || cmdline.is_some() || cache;
    let mut needs = of_fstab(&fstab.unwrap_or_default());
    needs.extend(of_crypttab(&crypttab.unwrap_or_default()));
    needs.extend(of_cmdline(&cmdline.unwrap_or_default()));
    // ZFS mounts its root by itself.
    if cache && !needs.iter().any(|need| need.role == Role::Root) {
        needs.push(Need::new(Role::Root, Wants::Alias("fs-zfs".to_owned())));
    }
    is_there.then_some(needs)
}

/// The words of each line that is no comment.
fn lines(text: &str) -> impl Iterator<Item = Vec<&str>> {
    let lines = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    lines.filter(|words| words.first().is_some_and(|word| !word.starts_with('#')))
}

fn of_fstab(text: &str) -> Vec<Need> {
    let mut needs = Vec::new();
    for words in lines(text) {
        let [source, place, kinds, ..] = words[..] else { continue };
        let Some(role) = role_of(&unescaped(place)) else { continue };
        let kinds = kinds.split(',').filter(|kind| !["auto", "none"].contains(kind));
        needs.extend(kinds.map(|kind| Need::new(role, Wants::Alias(format!("fs-{kind}")))));
        let module = match source {
            _ if source.starts_with("/dev/mapper/") => Some("dm_mod"),
            _ if source.starts_with("/dev/md") => Some("md_mod"),
            _ => None,
        };
        needs.extend(module.map(|module| Need::new(role, Wants::Module(module.to_owned()))));
    }
    needs
}

fn of_crypttab(text: &str) -> Vec<Need> {
    let is_any = lines(text).any(|words| words.len() > 1);
    let modules = ["dm-crypt", "dm-mod"].into_iter().filter(|_| is_any);
    modules.map(|module| Need::new(Role::Encrypted, Wants::Alias(module.to_owned()))).collect()
}

fn of_cmdline(text: &str) -> Vec<Need> {
    let kind = |word: &str| {
        let root = word.strip_prefix("root=").map(str::to_ascii_lowercase);
        let is_zfs = root.is_some_and(|root| root.starts_with("zfs"));
        let named = word.strip_prefix("rootfstype=").map(str::to_owned);
        if is_zfs { Some("zfs".to_owned()) } else { named }
    };
    let kinds = text.split_whitespace().filter_map(kind);
    kinds.map(|kind| Need::new(Role::Root, Wants::Alias(format!("fs-{kind}")))).collect()
}

//! How much memory there is available, and how much the processes of a build take.

use std::collections::BTreeMap;
use std::path::Path;

use super::fs;

/// Bytes that new processes can have without pushing others out (`MemAvailable` of
/// proc_meminfo(5)), within the limit of our control group where it has one (cgroups(7), version
/// 2); `None` where the system doesn't say.
#[must_use]
pub fn available() -> Option<u64> {
    let meminfo = fs::read_lossy(Path::new("/proc/meminfo")).ok().and_then(|text| of_meminfo(&text));
    [meminfo, left_in_group()].into_iter().flatten().min()
}

/// Bytes of memory that the machine has (`MemTotal`).
#[must_use]
pub fn total() -> Option<u64> {
    fs::read_lossy(Path::new("/proc/meminfo")).ok().and_then(|text| field(&text, "MemTotal:"))
}

fn of_meminfo(text: &str) -> Option<u64> {
    field(text, "MemAvailable:")
}

fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

fn left_in_group() -> Option<u64> {
    let groups = fs::read_lossy(Path::new("/proc/self/cgroup")).ok()?;
    let path = groups.lines().find_map(|line| line.strip_prefix("0::"))?;
    let folder = Path::new("/sys/fs/cgroup").join(path.trim_start_matches('/'));
    let number = |name: &str| fs::read_lossy(&folder.join(name)).ok()?.trim().parse::<u64>().ok();
    Some(number("memory.max")?.saturating_sub(number("memory.current")?))
}

/// The resident memory of each of these process groups, in bytes; one look at all processes.
#[must_use]
pub fn of_groups(groups: &[u32]) -> BTreeMap<u32, u64> {
    let mut sums = BTreeMap::new();
    for entry in fs::list(Path::new("/proc")).unwrap_or_default() {
        if !entry.name.as_encoded_bytes().first().is_some_and(u8::is_ascii_digit) {
            continue;
        }
        // One that has ended meanwhile takes nothing.
        let Ok(stat) = fs::read_lossy(&Path::new("/proc").join(entry.name).join("stat")) else { continue };
        if let Some((group, pages)) = group_and_pages(&stat)
            && groups.contains(&group)
        {
            *sums.entry(group).or_default() += pages * rustix::param::page_size() as u64;
        }
    }
    sums
}

/// Process group and resident pages: the fields 5 and 24 of proc_pid_stat(5). The name before
/// them may hold anything.
fn group_and_pages(stat: &str) -> Option<(u32, u64)> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let group = fields.nth(2)?.parse().ok()?;
    let pages = fields.nth(18)?.parse().ok()?;
    Some((group, pages))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_prints_is_read() {
        assert_eq!(of_meminfo("MemTotal: 9 kB\nMemAvailable:    2048 kB\n"), Some(2 << 20));
        assert_eq!(of_meminfo("MemTotal: 9 kB\n"), None);
        let stat = "7 (a) b) S 1 42 42 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 100 4096 33 1844 1";
        assert_eq!(group_and_pages(stat), Some((42, 33)));
        assert_eq!(group_and_pages("7 (a"), None);
    }

    #[test]
    fn a_running_group_takes_memory() {
        assert!(available().is_some_and(|bytes| bytes > 1 << 20));
        let own = rustix::process::getpgrp().as_raw_nonzero().get().unsigned_abs();
        assert!(of_groups(&[own])[&own] > 1 << 20);
        assert!(of_groups(&[u32::MAX]).is_empty());
    }
}

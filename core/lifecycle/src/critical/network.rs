//! The devices of the default route, down to those that have a driver.

use std::collections::BTreeSet;

use super::device::{self, names, text};
use super::facts::{Need, Role, Wants};
use crate::layout::Layout;

/// What the default route needs.
pub(super) fn needs(layout: &Layout) -> Vec<Need> {
    let read = |path: &str| text(&layout.at(path)).unwrap_or_default();
    let mut pending = default_devices(&read("/proc/net/route"), &read("/proc/net/ipv6_route"));
    let mut seen = BTreeSet::new();
    let mut needs = Vec::new();
    while let Some(name) = pending.pop() {
        if !seen.insert(name.clone()) {
            continue;
        }
        let folder = layout.at("/sys/class/net").join(&name);
        let mut want = |wants| needs.push(Need::new(Role::Network, wants));
        let drivers = device::drivers(&folder.join("device"));
        let has_driver = !drivers.is_empty();
        drivers.into_iter().for_each(&mut want);
        let uevent = text(&folder.join("uevent")).unwrap_or_default();
        let kind = uevent.lines().find_map(|line| line.strip_prefix("DEVTYPE="));
        if let Some(kind) = kind.filter(|kind| *kind != "wlan") {
            want(Wants::Alias(format!("rtnl-link-{kind}")));
        } else if !has_driver {
            let stem = name.trim_end_matches(|c: char| c.is_ascii_digit());
            want(Wants::Alias(format!("rtnl-link-{stem}")));
            // Which kind it is, only its driver knows.
            want(Wants::InUse("rtnl-link-"));
        }
        pending.extend(names(&folder.join("brif")));
        let below = names(&folder).into_iter();
        pending.extend(below.filter_map(|name| name.strip_prefix("lower_").map(str::to_owned)));
        let bonded = text(&folder.join("bonding/slaves")).unwrap_or_default();
        pending.extend(bonded.split_whitespace().map(str::to_owned));
    }
    needs
}

/// A route that refuses what it takes (`RTF_REJECT`).
const REJECT: u32 = 0x200;

/// The devices of the default routes, from `/proc/net/route` and `/proc/net/ipv6_route`.
pub(super) fn default_devices(route: &str, ipv6_route: &str) -> Vec<String> {
    let fourth = route.lines().skip(1).filter_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (device, destination, mask) = (words.first()?, words.get(1)?, words.get(7)?);
        (*destination == "00000000" && *mask == "00000000").then(|| (*device).to_owned())
    });
    let sixth = ipv6_route.lines().filter_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (destination, length, flags, device) =
            (words.first()?, words.get(1)?, words.get(8)?, words.get(9)?);
        let is_default = destination.bytes().all(|byte| byte == b'0') && *length == "00";
        let refuses = u32::from_str_radix(flags, 16).is_ok_and(|flags| flags & REJECT != 0);
        (is_default && !refuses && *device != "lo").then(|| (*device).to_owned())
    });
    fourth.chain(sixth).collect()
}

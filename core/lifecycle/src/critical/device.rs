//! The kernel modules that drive a device: by the links of sysfs, from the device up to its bus.

use std::path::Path;

use super::facts::Wants;
use crate::host::fs;

/// Each driver on the way from a device to the root of all devices, and the driver of the SCSI host.
pub(super) fn drivers(device: &Path) -> Vec<Wants> {
    let Ok(device) = fs::canonical(device) else { return Vec::new() };
    let mut found = Vec::new();
    for above in device.ancestors().take_while(|above| !above.ends_with("sys/devices")) {
        found.extend(name_of_link(&above.join("driver/module")).map(Wants::Module));
        if let Some(host) = above.file_name().and_then(|name| name.to_str())
            && host.starts_with("host")
        {
            let name = text(&above.join("scsi_host").join(host).join("proc_name"));
            found.extend(name.filter(|name| name != "<NULL>").map(Wants::Module));
        }
    }
    found
}

/// The last part of what a link leads to.
pub(super) fn name_of_link(link: &Path) -> Option<String> {
    let target = fs::link_target(link).ok()??;
    Some(target.file_name()?.to_str()?.to_owned())
}

/// A short file of proc or sysfs, without white space around it; an empty one is none.
pub(super) fn text(path: &Path) -> Option<String> {
    let bytes = fs::read_limited(path, 1 << 16).ok()?;
    let text = String::from_utf8_lossy(&bytes).trim().to_owned();
    (!text.is_empty()).then_some(text)
}

/// The names in a folder.
pub(super) fn names(folder: &Path) -> Vec<String> {
    let entries = fs::list(folder).unwrap_or_default();
    entries.into_iter().filter_map(|entry| entry.name.into_string().ok()).collect()
}

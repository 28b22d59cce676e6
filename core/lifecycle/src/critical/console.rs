//! What a person at the machine needs: the display that the firmware has used, and a keyboard.

use super::device::{self, names, text};
use super::facts::{Need, Role};
use crate::layout::Layout;

/// Keys 1 to 31 of a keyboard: every one of them.
const KEYS: u64 = 0xffff_fffe;

/// What display and keyboards need.
pub(super) fn needs(layout: &Layout) -> Vec<Need> {
    let mut needs = Vec::new();
    let pci = layout.at("/sys/bus/pci/devices");
    let is_first = |name: &String| text(&pci.join(name).join("boot_vga")).as_deref() == Some("1");
    let mut displays: Vec<_> = names(&pci).into_iter().filter(is_first).map(|name| pci.join(name)).collect();
    if displays.is_empty() {
        let drm = layout.at("/sys/class/drm");
        let cards = names(&drm).into_iter().filter(|name| name.starts_with("card") && !name.contains('-'));
        displays = cards.map(|name| drm.join(name).join("device")).collect();
    }
    for display in displays {
        needs.extend(device::drivers(&display).into_iter().map(|wants| Need::new(Role::Display, wants)));
    }
    let inputs = layout.at("/sys/class/input");
    for name in names(&inputs).into_iter().filter(|name| name.starts_with("input")) {
        let folder = inputs.join(name);
        let keys = text(&folder.join("capabilities/key")).unwrap_or_default();
        if is_keyboard(&keys) {
            needs.extend(device::drivers(&folder).into_iter().map(|wants| Need::new(Role::Keyboard, wants)));
        }
    }
    needs
}

/// Whether a device has the keys of a keyboard: words of 64 bits, the lowest last.
fn is_keyboard(keys: &str) -> bool {
    let last = keys.split_whitespace().next_back().and_then(|word| u64::from_str_radix(word, 16).ok());
    last.is_some_and(|last| last & KEYS == KEYS)
}

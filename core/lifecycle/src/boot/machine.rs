//! Whose an entry of a boot menu is: several systems may share a boot partition, with kernels of the same
//! release. An entry of another one is no other kernel of this system, and is never changed.

use crate::host::fs;
use crate::layout::Layout;

/// The length of a machine-id(5).
const LENGTH: usize = 32;

/// This system, as entries name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Machine(Option<String>);

impl Machine {
    /// By `/etc/machine-id`; a system without one takes every entry for its own.
    pub(super) fn of(layout: &Layout) -> Self {
        let text = fs::read_limited(&layout.at("/etc/machine-id"), 256).unwrap_or_default();
        let text = String::from_utf8_lossy(&text).trim().to_ascii_lowercase();
        Self(is_id(&text).then_some(text))
    }

    /// Whether an entry is another system's: the machine-id in it, or at the beginning of its file's name, is
    /// another one. What names none may be ours.
    pub(super) fn is_others(&self, name: &str, inside: Option<&str>) -> bool {
        let Some(own) = &self.0 else { return false };
        let of_name = name.get(..LENGTH).filter(|_| matches!(name.as_bytes().get(LENGTH), None | Some(b'-')));
        let named = inside.or(of_name).map(str::to_ascii_lowercase);
        named.is_some_and(|id| is_id(&id) && id != *own)
    }
}

fn is_id(text: &str) -> bool {
    text.len() == LENGTH && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_with_another_machine_id_is_anothers() {
        let (own, other) = ("0123456789abcdef0123456789abcdef", "f".repeat(32));
        let machine = Machine(Some(own.to_owned()));
        let name = |id: &str| format!("{id}-6.1.0-1-amd64.conf");
        for (file, inside, is_others) in [
            (name(own), None, false),
            (name(&other), None, true),
            (name(own), Some(other.as_str()), true),
            (name(&other), Some(own), false),
            ("debian-6.1.0-1-amd64.conf".to_owned(), None, false),
            ("debian-6.1.0-1-amd64.conf".to_owned(), Some(other.as_str()), true),
            ("debian.conf".to_owned(), Some("none"), false),
        ] {
            assert_eq!(machine.is_others(&file, inside), is_others, "{file} {inside:?}");
        }
        assert!(!Machine(None).is_others(&name(&other), Some(&other)));
    }
}

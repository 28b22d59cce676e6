//! Where a module's source asks for the kernel that runs instead of the one that it is built for.

use std::path::Path;

use crate::host::fs;

/// The files that decide for which kernel a module is built.
const FILES: [&str; 5] = ["Makefile", "makefile", "GNUmakefile", "Kbuild", "dkms.conf"];
/// No Makefile is longer.
const LIMIT: u64 = 1 << 20;

/// The first line that asks, and in which file: "`uname -r` in line 3 of Makefile".
#[must_use]
pub fn running_kernel(source: &Path) -> Option<String> {
    FILES.into_iter().find_map(|name| {
        let bytes = fs::read_limited(&source.join(name), LIMIT).ok()?;
        let number = asking_line(&String::from_utf8_lossy(&bytes))?;
        Some(format!("`uname -r` in line {number} of {name}"))
    })
}

/// The number of the first line that asks, comments left out.
fn asking_line(text: &str) -> Option<usize> {
    let asks = |line: &str| {
        let line = line.split('#').next().unwrap_or_default();
        ["uname -r", "uname --kernel-release", "/proc/version", "/proc/sys/kernel/osrelease"]
            .iter()
            .any(|ways| line.contains(ways))
    };
    text.lines().position(asks).map(|place| place + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_that_asks_is_named() {
        assert_eq!(
            asking_line("# not uname -r\nall:\n\tmake -C /lib/modules/$(shell uname -r)/build\n"),
            Some(3)
        );
        assert_eq!(asking_line("all:\n\tmake -C $(KDIR)\n"), None);
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(running_kernel(dir.path()), None);
        fs::write_whole(&dir.path().join("Makefile"), b"K = $(shell uname -r)\n", 0o644).unwrap();
        assert_eq!(running_kernel(dir.path()).as_deref(), Some("`uname -r` in line 1 of Makefile"));
    }
}

//! Lists of exported symbols: `Module.symvers`, a line each: CRC, name, who exports it, how. Text
//! only.

use std::collections::BTreeSet;
use std::io::{self, BufRead, Read};

/// A line of a list has far fewer bytes.
const LINE_LIMIT: u64 = 64 << 10;

/// Name and exporter of each line.
fn lines(symvers: &str) -> impl Iterator<Item = (&str, &str)> {
    symvers.lines().filter_map(|line| {
        let mut fields = line.split('\t').skip(1);
        Some((fields.next()?, fields.next()?))
    })
}

/// Whether a list is that of a whole kernel. One that `make modules_prepare` or a build of some modules
/// left has nothing of the kernel's image.
#[must_use]
pub fn is_of_kernel(symvers: &str) -> bool {
    lines(symvers).any(|(_, exporter)| exporter == "vmlinux")
}

/// The same as [`settle`] of a list that is read, a line in memory at a time.
///
/// # Errors
/// If it can't be read to its end.
pub fn settle_read(needed: &mut BTreeSet<String>, mut list: impl BufRead) -> io::Result<()> {
    let mut line = Vec::new();
    while !needed.is_empty() && list.by_ref().take(LINE_LIMIT).read_until(b'\n', &mut line)? > 0 {
        if let Ok(line) = std::str::from_utf8(&line) {
            settle(needed, line);
        }
        line.clear();
    }
    Ok(())
}

/// Takes the symbols that the list has from those that are needed.
pub fn settle(needed: &mut BTreeSet<String>, symvers: &str) {
    for (name, _) in lines(symvers) {
        if needed.is_empty() {
            return;
        }
        needed.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "0x4c9d28b0\tphys_base\tvmlinux\tEXPORT_SYMBOL\t\n\
        0x00000000\tcrc16\tlib/crc16\tEXPORT_SYMBOL_GPL\n\
        0x1\tspaced\tdrivers/x\tEXPORT_SYMBOL_NS_GPL\tUSB_STORAGE\njunk\n";

    #[test]
    fn what_a_list_has_is_no_longer_needed() {
        let mut needed = ["crc16", "phys_base", "spaced", "junk", "vmlinux"].map(str::to_owned).into();
        settle(&mut needed, LIST);
        assert_eq!(needed, ["junk", "vmlinux"].map(str::to_owned).into());
    }

    #[test]
    fn only_a_list_with_the_image_is_a_kernels() {
        assert!(is_of_kernel(LIST));
        assert!(!is_of_kernel("0x1\tfoo\t/srv/foo\tEXPORT_SYMBOL\n0x2\tvmlinux\tx\tEXPORT_SYMBOL\n"));
        assert!(!is_of_kernel(""));
    }
}

//! What an untrusted list of exported symbols (`Module.symvers` of a module) has of those that are needed.

use std::collections::BTreeSet;
use std::io::{self, BufRead, Read};

use crate::kernel::exports::symvers;

/// A line of a list has far fewer bytes.
const LINE_LIMIT: u64 = 64 << 10;

/// Takes the symbols that a list has from those that are needed, and gives their lines; a line is in
/// memory at a time.
///
/// # Errors
/// If it can't be read to its end.
pub(super) fn settle(
    needed: &mut BTreeSet<String>,
    mut list: impl BufRead,
    found: &mut dyn FnMut(symvers::Line<'_>),
) -> io::Result<()> {
    let mut bytes = Vec::new();
    while !needed.is_empty() && list.by_ref().take(LINE_LIMIT).read_until(b'\n', &mut bytes)? > 0 {
        if let Ok(text) = std::str::from_utf8(&bytes) {
            for line in symvers::lines(text) {
                if needed.remove(line.name) {
                    found(line);
                }
            }
        }
        bytes.clear();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_list_has_is_no_longer_needed() {
        let list = "0x4c9d28b0\tphys_base\tvmlinux\tEXPORT_SYMBOL\t\n\
            0x00000000\tcrc16\tlib/crc16\tEXPORT_SYMBOL_GPL\n\
            0x1\tspaced\tdrivers/x\tEXPORT_SYMBOL_GPL\tUSB_STORAGE\njunk\n";
        let mut needed = ["crc16", "phys_base", "spaced", "junk", "vmlinux"].map(str::to_owned).into();
        let mut found = Vec::new();
        settle(&mut needed, list.as_bytes(), &mut |line| found.push(line.name.to_owned())).unwrap();
        assert_eq!(found, ["phys_base", "crc16", "spaced"]);
        assert_eq!(needed, ["junk", "vmlinux"].map(str::to_owned).into());
    }
}

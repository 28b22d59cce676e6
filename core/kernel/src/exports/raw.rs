//! Tables of exported symbols in a kernel without sections (`Image` of arm64 and others: the bytes as they
//! are in memory). Distances are the same there, so a table of relative entries shows: one entry after the
//! other that leads to a name, in the order of names.

use super::ksymtab::{GPL_ONLY, MOST, NAMES_LIMIT, name_at};
use super::{Export, Exports};

/// Bytes of an entry: distances to value, name, namespace.
const ENTRY: usize = 12;
/// Entries begin at such places.
const ALIGNMENT: usize = 4;
/// A kernel exports more symbols of each kind; fewer entries could be there by chance.
const FEWEST: usize = 256;

/// The tables of an unpacked kernel: those for all, then those for GPL-compatible modules, and behind them
/// the CRCs of both, where there are any.
pub(super) fn parse(kernel: &[u8]) -> Option<Exports> {
    let (at, first) = (0..ENTRY / ALIGNMENT).find_map(|phase| first(kernel, phase * ALIGNMENT))?;
    let second = table(kernel, at + first.len() * ENTRY);
    let count = first.len() + second.len();
    let names = first.iter().chain(&second);
    if names.map(|(name, namespace)| name.len() + namespace.len()).sum::<usize>() > NAMES_LIMIT {
        return None;
    }
    let rest = kernel.get(at + count * ENTRY..)?;
    let sums = sums(rest, count);
    let flags = if second.is_empty() { flags(rest, count, sums.is_some()) } else { None };
    let export = |(number, (name, namespace)): (usize, &Names<'_>)| {
        let flagged = flags.is_some_and(|flags| flags[number] & GPL_ONLY != 0);
        let namespace = (!namespace.is_empty()).then(|| (*namespace).to_owned());
        let crc = sums.as_ref().map(|sums| sums[number]);
        ((*name).to_owned(), Export { crc, gpl_only: flagged || number >= first.len(), namespace })
    };
    Some(first.iter().chain(&second).enumerate().map(export).collect())
}

/// The byte of flags of each entry, behind what else there may be.
fn flags(rest: &[u8], count: usize, has_sums: bool) -> Option<&[u8]> {
    let begin = if has_sums { count * 4 } else { 0 };
    let flags = rest.get(begin..begin.checked_add(count)?)?;
    flags.iter().all(|flags| *flags <= GPL_ONLY).then_some(flags)
}

/// The first long table among the entries that begin at a place and whole entries further.
fn first(kernel: &[u8], begin: usize) -> Option<(usize, Vec<Names<'_>>)> {
    let mut at = begin;
    while at < kernel.len() {
        let table = table(kernel, at);
        if table.len() >= FEWEST {
            return Some((at, table));
        }
        at += table.len().max(1) * ENTRY;
    }
    None
}

type Names<'a> = (&'a str, &'a str);

/// The entries of a table that begins at a place, in the order of their names.
fn table(kernel: &[u8], begin: usize) -> Vec<Names<'_>> {
    let mut entries: Vec<Names<'_>> = Vec::new();
    while entries.len() < MOST {
        let at = begin + entries.len() * ENTRY;
        let Some(entry) = entry(kernel, at) else { break };
        if entries.last().is_some_and(|(last, _)| *last >= entry.0) {
            break;
        }
        entries.push(entry);
    }
    entries
}

fn entry(kernel: &[u8], at: usize) -> Option<Names<'_>> {
    let text = |at: usize| {
        let distance = i32::from_le_bytes(kernel.get(at..at.checked_add(4)?)?.try_into().ok()?);
        if distance == 0 {
            return Some("");
        }
        name_at(kernel, at.checked_add_signed(isize::try_from(distance).ok()?)?)
    };
    let name = text(at + 4).filter(|name| !name.is_empty())?;
    Some((name, text(at + 8)?))
}

/// One CRC for each entry. Where the kernel has none there is something else, which is mostly zero or text.
fn sums(rest: &[u8], count: usize) -> Option<Vec<u32>> {
    let bytes = rest.get(..count.checked_mul(4)?)?;
    let sums: Vec<u32> =
        bytes.chunks_exact(4).map(|sum| u32::from_le_bytes(sum.try_into().unwrap_or_default())).collect();
    // Sums are spread over all 32 bits: half of them have the highest one.
    let high = sums.iter().filter(|sum| **sum >> 31 == 1).count();
    (high * 3 > count && high * 3 < count * 2).then_some(sums)
}

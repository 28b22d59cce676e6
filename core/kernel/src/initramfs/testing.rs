//! Archives of cpio for tests.

fn entry(name: &str, data: &[u8]) -> Vec<u8> {
    let mode = if name == "TRAILER!!!" { 0 } else { 0o100_644 };
    let fields = [1, mode, 0, 0, 1, 0, data.len(), 0, 0, 0, 0, name.len() + 1, 0];
    let head: String = fields.iter().map(|field| format!("{field:08x}")).collect();
    let mut bytes = format!("070701{head}{name}\0").into_bytes();
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes.extend(data);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// An archive of files.
#[must_use]
pub fn archive(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut bytes: Vec<u8> = entries.iter().flat_map(|(name, data)| entry(name, data)).collect();
    bytes.extend(entry("TRAILER!!!", b""));
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

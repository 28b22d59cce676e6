//! Archives that mean harm, built here byte by byte: each is refused with the entry named, and nothing
//! outside the staging folder changes.

use std::io::Write;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use tar::{EntryType, Header};

use super::compression::{Compression, Encoder};
use super::*;
use dkms_base::exit::ExitCode;
use dkms_base::host::fs;

/// A temporary folder in memory: thousands of archives are unpacked here, and a disk would sync each file.
pub(super) fn memory_folder() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// One entry as raw bytes: `tar` itself would refuse to write many of these.
fn entry(name: &str, kind: EntryType, link: &str, mode: u32, contents: &[u8]) -> Vec<u8> {
    let mut header = Header::new_gnu();
    header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
    header.as_old_mut().linkname[..link.len()].copy_from_slice(link.as_bytes());
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_mtime(1_000_000);
    header.set_size(contents.len() as u64);
    header.set_cksum();
    let mut bytes = header.as_bytes().to_vec();
    bytes.extend_from_slice(contents);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

fn file(name: &str) -> Vec<u8> {
    entry(name, EntryType::Regular, "", 0o644, b"contents\n")
}

fn folder(name: &str) -> Vec<u8> {
    entry(name, EntryType::Directory, "", 0o755, b"")
}

fn link(name: &str, target: &str) -> Vec<u8> {
    entry(name, EntryType::Symlink, target, 0o777, b"")
}

fn hard_link(name: &str, target: &str) -> Vec<u8> {
    entry(name, EntryType::Link, target, 0o644, b"")
}

fn pax(record: &str) -> Vec<u8> {
    // The length counts its own digits: two or three of them here.
    let length = (record.len() + 4..).find(|n| n.to_string().len() + record.len() + 2 == *n).unwrap();
    entry("pax", EntryType::XHeader, "", 0o644, format!("{length} {record}\n").as_bytes())
}

/// A header that claims contents which don't follow.
fn claiming(name: &str, kind: EntryType, size: u64) -> Vec<u8> {
    let mut bytes = entry(name, kind, "", 0o644, b"");
    let mut header = Header::from_byte_slice(&bytes).clone();
    header.set_size(size);
    header.set_cksum();
    bytes[..512].copy_from_slice(header.as_bytes());
    bytes
}

fn archive(entries: &[Vec<u8>]) -> Vec<u8> {
    [entries.concat(), vec![0; 1024]].concat()
}

fn source(entries: &[Vec<u8>]) -> Vec<u8> {
    archive(&[vec![file("dkms_source_tree/dkms.conf")], entries.to_vec()].concat())
}

/// A place with something that must not change, an archive, and a folder to stage in.
struct Place {
    dir: tempfile::TempDir,
    before: Vec<String>,
}

impl Place {
    fn new() -> Self {
        let dir = memory_folder();
        fs::create_dir_all(&dir.path().join("outside/deep")).unwrap();
        fs::write_whole(&dir.path().join("outside/victim"), b"untouched", 0o644).unwrap();
        fs::write_whole(&dir.path().join("archive"), b"", 0o644).unwrap();
        let mut place = Self { dir, before: Vec::new() };
        place.before = place.listing();
        place
    }

    fn listing(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for found in walkdir::WalkDir::new(self.dir.path()).sort_by_file_name() {
            let found = found.unwrap();
            let meta = found.metadata().unwrap();
            let skipped = found.path() == self.dir.path().join("archive") || found.path() == self.dir.path();
            if !skipped {
                lines.push(format!(
                    "{} {:?} {:?}",
                    found.path().display(),
                    meta.permissions(),
                    meta.modified()
                ));
            }
        }
        lines
    }

    fn stage(&self, bytes: &[u8], limits: &Limits) -> Result<Staged, ArchiveError> {
        let (archive, into) = (self.dir.path().join("archive"), self.into());
        fs::write_whole(&archive, bytes, 0o644).unwrap();
        fs::create_dir_all(&into).unwrap();
        stage(&archive, &into, limits)
    }

    fn into(&self) -> PathBuf {
        self.dir.path().join("into")
    }

    /// Clears the staging folder, and holds everything else against what was there.
    fn check_outside(&self, label: &str) {
        fs::remove_tree(&self.into()).unwrap();
        assert_eq!(self.listing(), self.before, "{label} changed something outside");
    }
}

fn small() -> Limits {
    Limits { bytes: 1 << 20, entries: 500, name_bytes: 50_000, ratio_from: 1 << 18, ..Limits::default() }
}

/// Label, archive, what the error must name.
fn hostile() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let (set_uid, set_gid) = (0o4755, 0o2755);
    let many: Vec<Vec<u8>> = (0..600).map(|n| file(&format!("many/{n}"))).collect();
    let long_names: Vec<Vec<u8>> = (0..200)
        .map(|n| pax(&format!("path=d/{n}{}", "x".repeat(250))))
        .flat_map(|h| [h, file("short")])
        .collect();
    let deep = pax(&format!("path={}x", "d/".repeat(101)));
    let manifest = |json: &str| {
        source(&[entry("dkms_main_tree/MANIFEST.json", EntryType::Regular, "", 0o644, json.as_bytes())])
    };
    let built = |name: &str| {
        archive(&[
            file("dkms_binaries_only/dkms.conf"),
            entry("dkms_binaries_only/PACKAGE_NAME", EntryType::Regular, "", 0o644, name.as_bytes()),
            entry("dkms_binaries_only/PACKAGE_VERSION", EntryType::Regular, "", 0o644, b"1.0\n"),
            file("dkms_main_tree/6.1.0/x86_64/module/a.ko"),
        ])
    };
    vec![
        ("absolute name", source(&[file("/tmp/evil")]), "/tmp/evil"),
        ("absolute name in pax", source(&[pax("path=/tmp/evil"), file("good")]), "/tmp/evil"),
        ("`..` first", source(&[file("../outside/victim")]), "../outside/victim"),
        ("`..` inside", source(&[file("a/../../outside/victim")]), "a/../../outside/victim"),
        ("`..` as folder", source(&[folder("a/..")]), "a/.."),
        ("link out", source(&[link("dkms_source_tree/l", "../../outside")]), "dkms_source_tree/l"),
        ("absolute link", source(&[link("dkms_source_tree/l", "/etc/passwd")]), "dkms_source_tree/l"),
        (
            "link into another part",
            source(&[link("dkms_source_tree/l", "../dkms_main_tree")]),
            "dkms_source_tree/l",
        ),
        (
            "link out through a link",
            source(&[link("dkms_source_tree/d/up", ".."), link("dkms_source_tree/l", "d/up/../../outside")]),
            "dkms_source_tree/l",
        ),
        ("link in a circle", source(&[link("dkms_source_tree/l", "l")]), "dkms_source_tree/l"),
        ("empty link", source(&[link("dkms_source_tree/l", "")]), "dkms_source_tree/l"),
        ("write through a link", source(&[link("l", "../outside"), file("l/victim")]), "l/victim"),
        ("write through an inner link", source(&[folder("d"), link("l", "d"), file("l/x")]), "l/x"),
        ("file over a link", source(&[link("l", "../outside/victim"), file("l")]), "l"),
        ("link over a folder", source(&[file("d/x"), link("d", "../outside")]), "d"),
        ("hard link out", source(&[hard_link("h", "../outside/victim")]), "h"),
        ("absolute hard link", source(&[hard_link("h", "/etc/passwd")]), "h"),
        ("hard link to a link", source(&[link("l", "../outside/victim"), hard_link("h", "l")]), "h"),
        ("hard link to nothing", source(&[hard_link("h", "later"), file("later")]), "h"),
        ("hard link to itself", source(&[hard_link("h", "h")]), "h"),
        ("character device", source(&[entry("null", EntryType::Char, "", 0o666, b"")]), "null"),
        ("block device", source(&[entry("sda", EntryType::Block, "", 0o666, b"")]), "sda"),
        ("file below a FIFO", source(&[entry("p", EntryType::Fifo, "", 0o666, b""), file("p/x")]), "p/x"),
        ("file over a FIFO", source(&[entry("p", EntryType::Fifo, "", 0o666, b""), file("p")]), "p"),
        ("unknown kind", source(&[entry("odd", EntryType::new(b'Z'), "", 0o666, b"")]), "odd"),
        ("file twice", source(&[file("a"), file("a")]), "a"),
        ("file twice, spelt otherwise", source(&[file("d/a"), file("./d//a")]), "./d//a"),
        ("folder twice", source(&[folder("d/"), folder("d")]), "d"),
        ("file as folder", source(&[file("a"), file("a/b")]), "a/b"),
        ("setuid", source(&[entry("su", EntryType::Regular, "", set_uid, b"x")]), "su"),
        ("setgid", source(&[entry("sg", EntryType::Regular, "", set_gid, b"x")]), "sg"),
        ("setuid hard link", source(&[file("a"), entry("h", EntryType::Link, "a", set_uid, b"")]), "h"),
        ("sparse", source(&[claiming("huge", EntryType::GNUSparse, 1 << 40)]), "huge"),
        ("sparse in pax", source(&[pax("GNU.sparse.realsize=999999999"), file("huge")]), "huge"),
        ("huge size", source(&[claiming("huge", EntryType::Regular, 1 << 40)]), "huge"),
        ("huge long name", source(&[claiming("longlink", EntryType::GNULongName, 1 << 40)]), "longlink"),
        ("huge pax header", source(&[claiming("pax", EntryType::XHeader, 1 << 40)]), "pax"),
        ("two sizes", source(&[pax("size=3"), file("two-sizes")]), "two-sizes"),
        ("malformed pax header", source(&[entry("pax", EntryType::XHeader, "", 0o644, b"99 x=y\n")]), "pax"),
        (
            "renaming global header",
            source(&[entry("g", EntryType::XGlobalHeader, "", 0, b"10 path=a\n")]),
            "g",
        ),
        ("contents of a folder", source(&[entry("d", EntryType::Directory, "", 0o755, b"x")]), "d"),
        ("contents of a link", source(&[entry("l", EntryType::Symlink, "a", 0o777, b"x")]), "l"),
        ("many entries", source(&many), "many/"),
        ("long names", source(&long_names), "d/"),
        ("deep name", source(&[deep, file("short")]), "d/d/"),
        ("long part", source(&[pax(&format!("path={}", "x".repeat(256))), file("short")]), "xxx"),
        (
            "two dkms.conf",
            source(&[file("dkms_binaries_only/dkms.conf"), file("dkms_main_tree/6.1.0/x86_64/module/a.ko")]),
            "dkms_binaries_only",
        ),
        ("dkms.conf twice", source(&[file("dkms_source_tree/dkms.conf")]), "dkms_source_tree/dkms.conf"),
        ("newline in a name", source(&[file("a\nError! b")]), "a\\nError! b"),
        ("escape in a name", source(&[file("a\u{1b}[2J")]), "a\\u{1b}[2J"),
        ("newline in a link", source(&[link("l", "a\nb")]), "l"),
        ("empty name", source(&[file("./")]), "./"),
        ("PACKAGE_NAME with `/`", built("../../etc\n"), "dkms_binaries_only/PACKAGE_NAME"),
        ("PACKAGE_NAME of two lines", built("a\nb\n"), "dkms_binaries_only/PACKAGE_NAME"),
        ("kernel named like the tree's own", source(&[file("dkms_main_tree/source/a/module/x")]), "source/a"),
        ("manifest that is none", manifest("{}"), "MANIFEST.json"),
        (
            "manifest without an entry",
            manifest(r#"{"format":1,"name":"a","version":"1","builds":[],"files":{},"links":{}}"#),
            "dkms_source_tree/dkms.conf",
        ),
        (
            "manifest with another hash",
            manifest(
                r#"{"format":1,"name":"a","version":"1","builds":[],"files":{"dkms_source_tree/dkms.conf":"00"},"links":{}}"#,
            ),
            "dkms_source_tree/dkms.conf",
        ),
        ("manifest as a link", source(&[link("dkms_main_tree/MANIFEST.json", "x")]), "MANIFEST.json"),
    ]
}

#[test]
fn hostile_archives_are_refused_with_the_entry_named() {
    let place = Place::new();
    for (label, bytes, named) in hostile() {
        for compression in [Compression::None, Compression::Gzip] {
            let error = place.stage(&compressed(compression, &bytes), &small()).expect_err(label);
            let text = error.to_string();
            assert!(text.contains(named), "{label}: `{text}` doesn't name `{named}`");
            assert!(text.contains(&*place.dir.path().join("archive").to_string_lossy()), "{label}: {text}");
            assert!(!text.contains(['\n', '\u{1b}']), "{label}: {text:?}");
            let code = error.exit_code();
            assert!([ExitCode::NOT_BUILT, ExitCode::INVALID_CONF].contains(&code), "{label}: {code:?}");
            place.check_outside(label);
        }
    }
}

#[test]
fn a_fifo_is_not_made_and_is_named() {
    let place = Place::new();
    let fifo = |name: &str| entry(name, EntryType::Fifo, "", 0o666, b"");
    let bytes = source(&[fifo("dkms_source_tree/alone/pipe"), fifo("other")]);
    let staged = place.stage(&bytes, &small()).unwrap();
    assert_eq!(staged.fifos, [Path::new("dkms_source_tree/alone/pipe"), Path::new("other")]);
    assert!(!fs::exists(&staged.root.join("other")));
    assert_eq!(fs::list(&staged.root.join("dkms_source_tree/alone")).unwrap().len(), 0);
    place.check_outside("FIFO");
}

/// Through a file, since the encoders write to one.
fn compressed(compression: Compression, bytes: &[u8]) -> Vec<u8> {
    let dir = memory_folder();
    let path = dir.path().join("packed");
    let mut encoder = Encoder::new(compression, fs::create_new(&path, 0o600).unwrap()).unwrap();
    encoder.write_all(bytes).unwrap();
    drop(encoder.finish().unwrap());
    fs::read(&path).unwrap()
}

const COMPRESSIONS: [Compression; 5] =
    [Compression::None, Compression::Gzip, Compression::Bzip2, Compression::Xz, Compression::Zstd];

#[test]
fn what_is_no_archive_is_told_apart() {
    let place = Place::new();
    let noise: Vec<u8> = (0..5000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    for bytes in [&b""[..], b"x", &noise, &[0x1f, 0x8b, 8, 0], &compressed(Compression::Zstd, &noise)] {
        let error = place.stage(bytes, &small()).unwrap_err();
        assert_eq!(error.exit_code(), ExitCode::NOT_IN_TREE, "{error}");
        place.check_outside("noise");
    }
    let missing = stage(Path::new("/no/such/archive"), place.dir.path(), &small()).unwrap_err();
    assert_eq!(missing.exit_code(), ExitCode::BAD_OPTION);
    for bytes in [archive(&[]), archive(&[file("a/b.c")])] {
        assert!(matches!(place.stage(&bytes, &small()), Err(ArchiveError::NoConf { .. })));
        place.check_outside("no conf");
    }
}

#[test]
fn a_truncated_archive_is_never_taken() {
    let place = Place::new();
    let noise: Vec<u8> = (0..20_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let whole = source(&[entry("dkms_source_tree/noise", EntryType::Regular, "", 0o644, &noise), file("x")]);
    for compression in COMPRESSIONS {
        let bytes = compressed(compression, &whole);
        assert!(place.stage(&bytes, &small()).is_ok(), "{compression:?}");
        place.check_outside("whole");
        for end in (0..bytes.len()).step_by(512).chain([bytes.len() - 1]) {
            let label = format!("{compression:?} cut at {end} of {}", bytes.len());
            let error = place.stage(&bytes[..end], &small()).expect_err(&label);
            assert_eq!(error.exit_code(), ExitCode::NOT_IN_TREE, "{label}: {error}");
            place.check_outside(&label);
        }
    }
}

#[test]
fn a_flipped_bit_in_a_compressed_archive_is_noticed() {
    let place = Place::new();
    for compression in &COMPRESSIONS[1..] {
        let mut bytes = compressed(*compression, &source(&[file("dkms_source_tree/a")]));
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0x10;
        assert!(place.stage(&bytes, &small()).is_err(), "{compression:?}");
        place.check_outside("flipped");
    }
}

#[test]
fn bombs_stop_early_whatever_their_compression() {
    let place = Place::new();
    let zeros = vec![0; 8 << 20];
    let bomb = source(&[entry("dkms_source_tree/bomb", EntryType::Regular, "", 0o644, &zeros)]);
    let after_the_end = [source(&[]), zeros.clone()].concat();
    let limits = Limits { bytes: 1 << 30, ..small() };
    for compression in &COMPRESSIONS[1..] {
        for bytes in [&bomb, &after_the_end] {
            let error = place.stage(&compressed(*compression, bytes), &limits).unwrap_err();
            assert!(matches!(error, ArchiveError::TooBig { .. }), "{compression:?}: {error}");
            place.check_outside("bomb");
        }
    }
    let copies: Vec<Vec<u8>> = (0..100).map(|n| hard_link(&format!("h{n}"), "big")).collect();
    let big = entry("big", EntryType::Regular, "", 0o644, &vec![7; 100_000]);
    let error = place.stage(&source(&[vec![big], copies].concat()), &small()).unwrap_err();
    assert!(matches!(error, ArchiveError::TooBig { .. }), "{error}");
}

#[test]
fn memory_stays_bounded() {
    /// The most memory that this process had since the last call, in bytes.
    fn peak() -> u64 {
        let status = fs::read_lossy(Path::new("/proc/self/status")).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap().to_owned();
        fs::append_to(Path::new("/proc/self/clear_refs")).unwrap().write_all(b"5").unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
    }
    let place = Place::new();
    let mut wide = Vec::new();
    let mut encoder = zstd::Encoder::new(&mut wide, 3).unwrap();
    encoder.window_log(30).unwrap();
    encoder.write_all(&source(&[])).unwrap();
    encoder.finish().unwrap();
    let many: Vec<Vec<u8>> = (0..100_000).map(|n| folder(&format!("many/{n}"))).collect();
    let many = compressed(Compression::Gzip, &source(&many));
    peak();
    let before = peak();
    assert!(place.stage(&wide, &Limits::default()).is_err(), "a window of 1 GiB was accepted");
    let error = place.stage(&many, &Limits::default()).unwrap_err();
    assert!(matches!(error, ArchiveError::TooBig { .. }), "{error}");
    let grown = peak().saturating_sub(before);
    assert!(grown < 100 << 20, "grown by {grown} bytes");
    // xz -6 looks back 8 MiB.
    let xz = compressed(Compression::Xz, &source(&[]));
    place.check_outside("memory");
    assert!(place.stage(&xz, &Limits { window: 4 << 20, ..small() }).is_err());
}

#[test]
fn honest_oddities_are_taken() {
    let place = Place::new();
    let odd = archive(&[
        entry("pax_global_header", EntryType::XGlobalHeader, "", 0o644, b"16 comment=abcd\n"),
        folder("./"),
        folder("p-1.0/"),
        entry("p-1.0/old/", EntryType::Regular, "", 0o755, b""),
        entry("p-1.0/shared", EntryType::Directory, "", 0o2775, b""),
        pax("mtime=1234567.891"),
        file("p-1.0/dkms.conf"),
        pax("path=p-1.0/long.c"),
        file("p-1.0/short"),
        link("p-1.0/link", "old/../long.c"),
        link("p-1.0/dangling", "nowhere"),
        hard_link("p-1.0/hard", "p-1.0/long.c"),
        entry("p-1.0/cont", EntryType::Continuous, "", 0o600, b"x"),
    ]);
    let staged = place.stage(&odd, &small()).unwrap();
    assert_eq!(staged.kind, Kind::Plain);
    let source = staged.source.unwrap();
    assert_eq!(staged.conf, source.join("dkms.conf"));
    assert_eq!(fs::read(&source.join("link")).unwrap(), b"contents\n");
    assert_eq!(fs::read(&source.join("hard")).unwrap(), b"contents\n");
    assert!(fs::is_dir(&source.join("old")));
    use std::os::unix::fs::MetadataExt;
    let meta = |name: &str| fs::lstat(&source.join(name)).unwrap().unwrap();
    assert_eq!(meta("shared").mode() & 0o7777, 0o775);
    assert_eq!(meta("dkms.conf").mtime(), 1_234_567);
    assert_eq!(meta("shared").mtime(), 1_000_000);
    place.check_outside("odd");
}

fn any_entry() -> impl Strategy<Value = Vec<u8>> {
    let name =
        proptest::collection::vec(prop_oneof![Just(".."), Just("a"), Just("b"), Just("."), Just("")], 1..5)
            .prop_map(|parts| parts.join("/"));
    let kind = prop_oneof![
        4 => Just(EntryType::Regular),
        2 => Just(EntryType::Directory),
        4 => Just(EntryType::Symlink),
        2 => Just(EntryType::Link),
    ];
    let inside = prop_oneof![Just("dkms_source_tree/"), Just("")];
    (inside, name.clone(), kind, inside_or_not(name)).prop_map(|(inside, name, kind, target)| {
        let contents: &[u8] = if kind == EntryType::Regular { b"x" } else { b"" };
        let is_link = kind == EntryType::Symlink || kind == EntryType::Link;
        entry(&format!("{inside}{name}"), kind, if is_link { &target } else { "" }, 0o755, contents)
    })
}

fn inside_or_not(name: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    (prop_oneof![Just(""), Just("dkms_source_tree/"), Just("../outside/")], name)
        .prop_map(|(before, name)| format!("{before}{name}"))
}

proptest! {
    #[test]
    fn whatever_is_taken_stays_inside(entries in proptest::collection::vec(any_entry(), 0..6)) {
        let place = Place::new();
        if let Ok(staged) = place.stage(&source(&entries), &small()) {
            let root = fs::canonical(&staged.source.unwrap()).unwrap();
            for found in walkdir::WalkDir::new(&root) {
                let found = found.unwrap();
                if let Ok(end) = fs::canonical(found.path()) {
                    prop_assert!(end.starts_with(&root), "{} leads to {}", found.path().display(), end.display());
                }
            }
        }
        place.check_outside("random entries");
    }

    #[test]
    fn damage_is_no_danger(at in 0_usize..4096, value in any::<u8>(), cut in 0_usize..6000) {
        let place = Place::new();
        let mut bytes = source(&[folder("dkms_source_tree/d"), link("dkms_source_tree/l", "d"), file("dkms_source_tree/d/f")]);
        let at = at % bytes.len();
        bytes[at] = value;
        bytes.truncate(cut);
        drop(place.stage(&bytes, &small()));
        place.check_outside("damage");
    }
}

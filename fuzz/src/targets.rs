//! What the bytes are thrown at, and what must hold then.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use dkms_archive::{self, Limits, stage};
use dkms_base::diagnose;
use dkms_base::host::fs;
use dkms_base::id::Target;
use dkms_conf::{self, Check, ere};
use dkms_kernel::KernelConfig;
use dkms_kernel::modfile;
use dkms_signing::trust::{self, signature_list};
use dkms_signing::{self, SigningCertificate, certificate as own_certificate};

/// What is read as a file lies in here: in memory, a folder for each process.
fn place() -> &'static Path {
    static PLACE: OnceLock<tempfile::TempDir> = OnceLock::new();
    let make = || tempfile::tempdir_in("/dev/shm").expect("there is /dev/shm");
    PLACE.get_or_init(make).path()
}

/// Writes a file that is ours.
pub(crate) fn write(path: &Path, bytes: &[u8]) {
    use std::io::Write as _;
    let file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).open(path);
    file.and_then(|mut file| file.write_all(bytes)).expect("it is ours");
}

/// How long this thread has run on a processor (proc_pid_schedstat: the first number, in nanoseconds).
pub(crate) fn processor_time() -> Duration {
    let text = fs::read_lossy(Path::new("/proc/thread-self/schedstat")).unwrap_or_default();
    let first = text.split(' ').next().and_then(|number| number.parse().ok());
    Duration::from_nanos(first.expect("the kernel counts it"))
}

/// The largest memory that this process has had, in KiB.
pub(crate) fn peak_memory() -> u64 {
    let status = fs::read_lossy(Path::new("/proc/self/status")).unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    peak.trim().trim_end_matches(" kB").parse().unwrap_or(0)
}

/// Nothing appears outside the folder that it stages in, and no link in what it takes leads out of it.
pub(crate) fn archive(bytes: &[u8]) {
    let place = place().join("archive");
    let (file, into, victim) = (place.join("archive"), place.join("into"), place.join("victim"));
    fs::create_dir_all(&into).expect("it is ours");
    write(&victim, b"untouched");
    write(&file, bytes);
    let limits =
        Limits { bytes: 1 << 20, entries: 500, name_bytes: 50_000, ratio_from: 1 << 18, ..Limits::default() };
    if let Ok(staged) = stage(&file, &into, &limits)
        && let Some(source) = staged.source
    {
        check_links(&source, &source.canonicalize().expect("it is there"));
    }
    fs::remove_tree(&into).expect("it is ours");
    assert_eq!(fs::read(&victim).expect("it is still there"), b"untouched");
    assert_eq!(fs::list(&place).expect("it is ours").len(), 2, "something appeared outside");
}

fn check_links(folder: &Path, root: &Path) {
    for entry in fs::list(folder).expect("it was just made") {
        let path = folder.join(&entry.name);
        if entry.kind.is_dir() {
            check_links(&path, root);
        } else if entry.kind.is_symlink()
            && let Ok(end) = path.canonicalize()
        {
            assert!(end.starts_with(root), "{} leads to {}", path.display(), end.display());
        }
    }
}

pub(crate) fn deb(bytes: &[u8]) {
    let file = place().join("package.deb");
    write(&file, bytes);
    let _ = dkms_archive::deb::files(&file, &|name| name.contains("vmlinuz"));
}

/// What the static reader is certain of resolves, or has faults that can be shown.
pub(crate) fn conf(bytes: &[u8]) {
    let Some(raw) = dkms_conf::examine(&String::from_utf8_lossy(bytes)) else { return };
    let target = Target::parse("6.1.0-9-amd64", "x86_64").expect("it is one");
    if let Err(invalid) = dkms_conf::resolve(&raw, &target, &KernelConfig::default(), Check::Whole) {
        assert!(!invalid.to_string().is_empty());
    }
}

/// The first line is a pattern, the second a kernel's name.
pub(crate) fn ere(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (pattern, name) = text.split_once('\n').unwrap_or((&text, "6.1.0-9-amd64"));
    let name: String = name.chars().take(100).collect();
    if let Err(error) = ere::Ere::new(pattern) {
        assert!(error.to_string().len() < 2000);
    }
    let _ = ere::matches(pattern, &name);
}

/// Packed or not, what is read is the same; nothing is larger than the file.
pub(crate) fn module(bytes: &[u8]) {
    let file = place().join("foo.ko");
    write(&file, bytes);
    let info = modfile::read_info(&file);
    let is_whole = modfile::is_whole_object(bytes);
    assert!(!is_whole || modfile::is_whole_file(&file).is_ok(), "two answers");
    if let Ok(content) = modfile::content(&file)
        && content != bytes
    {
        let unpacked = place().join("unpacked.ko");
        write(&unpacked, &content);
        let of_content = modfile::read_info(&unpacked);
        if modfile::content::packing(&content) == dkms_kernel::Compression::None {
            assert_eq!(info.as_ref().ok(), of_content.as_ref().ok(), "packed, it says something else");
        }
    }
    assert!(modfile::same_module(&file, &file).expect("a file is itself"));
}

/// A signature that holds is no longer one when the module is another.
pub(crate) fn signature(bytes: &[u8]) {
    static OWN: OnceLock<SigningCertificate> = OnceLock::new();
    let own = OWN.get_or_init(|| {
        SigningCertificate::parse(include_bytes!("../corpus/certificate/own.der")).expect("it is one")
    });
    let without = modfile::without_signature(bytes);
    assert!(bytes.starts_with(without));
    assert_eq!(without.len() == bytes.len(), modfile::signature_of(bytes).is_none());
    if dkms_signing::verify(bytes, own).is_ok() {
        let other = [b"x", bytes].concat();
        assert!(dkms_signing::verify(&other, own).is_err(), "it holds for another module");
    }
}

/// The DER that is found is read as itself again.
pub(crate) fn certificate(bytes: &[u8]) {
    let _ = SigningCertificate::parse(bytes);
    if let Ok(der) = dkms_signing::der_of(bytes) {
        let _ = trust::Certificate::of_der(&der);
        let _ = own_certificate::fingerprint_of_certificate(&der);
    }
    let _ = own_certificate::fingerprint_of_certificate(bytes);
    let _ = own_certificate::fingerprint_of_key(&String::from_utf8_lossy(bytes));
    for certificate in signature_list::certificates(bytes) {
        assert!(certificate.len() <= bytes.len());
        let _ = trust::Certificate::of_der(certificate);
    }
}

/// The diagnosis of a log stays short.
pub(crate) fn log(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let lines = diagnose::diagnose(&text).lines();
    let length: usize = lines.iter().map(String::len).sum();
    assert!(length < 20_000, "{length} bytes of diagnosis");
    let _ = diagnose::refusals(&text);
}

pub(crate) fn initramfs(bytes: &[u8]) {
    let _ = dkms_kernel::initramfs::examine(bytes);
}

/// A kernel that can be read exports something.
pub(crate) fn kernel(bytes: &[u8]) {
    if let Ok(exports) = dkms_kernel::exports::image::parse(bytes) {
        assert!(!exports.is_empty());
    }
}

/// Names that are taken from what pacman tells are those that it told.
pub(crate) fn transactions(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(changes) = dkms_hooks_apt::transaction::parse(&text) {
        for change in changes {
            assert!(text.contains(&change.package));
            let _ = dkms_hooks_apt::transaction::by_name(&change.package);
        }
    }
    let targets = dkms_hooks_pacman::targets::Targets::parse(bytes);
    for thing in &targets.things {
        assert!(thing.paths().iter().all(|path| !path.chars().any(char::is_control)), "{thing}");
    }
    dkms_hooks_dnf::examine(bytes);
    let file: PathBuf = place().join("package.rpm");
    write(&file, bytes);
    let _ = dkms_hooks_dnf::incoming::examine(&file);
}

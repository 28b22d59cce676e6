//! Inputs to begin with: those of `corpus/`, and binary ones that are made of them.

use std::io::Write as _;

use dkms_base::host::fs;
use dkms_kernel::newc::Newc;

/// Those for a target.
pub(crate) fn of(name: &str) -> Vec<Vec<u8>> {
    let folder = crate::corpus(name);
    let entries = fs::list(&folder).unwrap_or_default();
    let mut inputs: Vec<Vec<u8>> =
        entries.iter().filter_map(|entry| fs::read(&folder.join(&entry.name)).ok()).collect();
    match name {
        "archive" => inputs.extend(packed(&tar())),
        "deb" => inputs.extend(packed(&tar()).iter().map(|data| deb(data))),
        "module" => {
            let plain: Vec<Vec<u8>> = inputs.clone();
            inputs.extend(plain.iter().flat_map(|bytes| packed(bytes)));
        }
        "initramfs" => {
            inputs.extend(packed(&cpio()));
            inputs.push([cpio(), packed(&cpio()).concat()].concat());
        }
        "kernel" => {
            let objects = of("module");
            inputs.extend(objects.iter().map(|object| bzimage(object)));
            inputs.extend(objects);
        }
        _ => {}
    }
    inputs
}

/// Bytes as they are, and packed by what this system has.
fn packed(bytes: &[u8]) -> Vec<Vec<u8>> {
    let environment = [("PATH", "/usr/bin:/bin")].into_iter().collect();
    let pack = |line: &str| {
        let mut file = tempfile::NamedTempFile::new_in("/dev/shm").expect("there is /dev/shm");
        file.write_all(bytes).expect("it is ours");
        let line = format!("{line} <{}", file.path().display());
        let ended = dkms_base::host::process::Process::shell(&line, &environment).capture().expect("it runs");
        ended.output
    };
    let lines = ["gzip -1n", "xz -1", "zstd -qc", "bzip2 -1"];
    [bytes.to_vec()]
        .into_iter()
        .chain(lines.map(pack).into_iter().filter(|packed| !packed.is_empty()))
        .collect()
}

/// What a boot loader of x86 starts, with this kernel in it.
fn bzimage(kernel: &[u8]) -> Vec<u8> {
    let mut image = vec![0; 1024];
    image[0x1f1] = 1;
    image[0x202..0x206].copy_from_slice(b"HdrS");
    image[0x24c..0x250].copy_from_slice(&u32::try_from(kernel.len()).unwrap_or_default().to_le_bytes());
    [&image, kernel].concat()
}

const FILES: [(&str, &str); 4] = [
    ("dkms_source_tree/dkms.conf", "PACKAGE_NAME=foo\nPACKAGE_VERSION=1.0\nBUILT_MODULE_NAME[0]=foo\n"),
    ("dkms_source_tree/foo.c", "int x;\n"),
    ("dkms_main_tree/6.1.0-9-amd64/x86_64/module/foo.ko", "\u{7f}ELF"),
    ("lib/modules/6.1.0-9-amd64/updates/dkms/foo.ko", "\u{7f}ELF"),
];

fn tar() -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut entry = |name: &str, kind: u8, link: &str, content: &str| {
        let mut header = [0_u8; 512];
        header[..name.len()].copy_from_slice(name.as_bytes());
        header[100..107].copy_from_slice(b"0000644");
        header[124..135].copy_from_slice(format!("{:011o}", content.len()).as_bytes());
        header[156] = kind;
        header[157..157 + link.len()].copy_from_slice(link.as_bytes());
        header[257..265].copy_from_slice(b"ustar\x0000");
        header[148..156].fill(b' ');
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        bytes.extend(header);
        bytes.extend(content.as_bytes());
        bytes.resize(bytes.len().next_multiple_of(512), 0);
    };
    for (name, content) in FILES {
        entry(name, b'0', "", content);
    }
    entry("dkms_source_tree/link", b'2', "foo.c", "");
    entry("dkms_source_tree/hard", b'1', "dkms_source_tree/foo.c", "");
    bytes.resize(bytes.len() + 1024, 0);
    bytes
}

fn deb(data: &[u8]) -> Vec<u8> {
    let member = |name: &str, content: &[u8]| {
        let head = format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n", 0, 0, 0, 100_644, content.len());
        let mut bytes = [head.as_bytes(), content].concat();
        bytes.resize(bytes.len().next_multiple_of(2), b'\n');
        bytes
    };
    let members =
        [member("debian-binary", b"2.0\n"), member("control.tar", &tar()), member("data.tar", data)];
    [b"!<arch>\n".to_vec(), members.concat()].concat()
}

fn cpio() -> Vec<u8> {
    let mut archive = Newc::new(Vec::new(), 0);
    for (name, content) in FILES {
        archive.lone_file(name, 0o644, content.as_bytes()).expect("memory takes all");
    }
    archive.finish().expect("memory takes all")
}

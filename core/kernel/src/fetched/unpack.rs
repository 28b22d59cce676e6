//! Unpacks packages with headers, and takes of them what headers are. They are not installed, so nobody has
//! agreed to what else is in them; and what is unpacked is laid over the system while programs run.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use dkms_base::host::Environment;
use dkms_base::host::fs::{self, FsError};
use dkms_base::host::process::{Process, quote};
use dkms_base::host::scratch::copy_over;

use super::FetchError;
use crate::manager::run;

/// Folders with headers, and the module folders that lead to them.
const PLACES: [&str; 3] = ["usr/src", "lib/modules", "usr/lib/modules"];
/// The beginning of a folder in `/usr/lib` with the programs of headers, on Debian.
const PROGRAMS: &str = "linux-kbuild-";

/// Unpacks packages below `folder`, one of ours. Each goes to a closed folder first, so that no link of one
/// leads another astray.
pub(super) fn unpack(
    packages: &[PathBuf],
    folder: &Path,
    environment: &Environment,
) -> Result<(), FetchError> {
    let closed = folder.join("unpacked");
    for path in packages {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.ends_with(".sig") {
            continue;
        }
        fs::create_dir_all(&closed)?;
        fs::set_mode(&closed, 0o700)?;
        // All of them end in a tar or in libarchive, which follow no link out of the folder that they write
        // to.
        let process = if name.ends_with(".rpm") {
            let file = quote(&path.to_string_lossy());
            let line = format!("rpm2archive - <{file} | tar -xz --no-same-owner --no-same-permissions");
            Process::shell(&line, environment).dir(&closed)
        } else if name.contains(".pkg.tar") {
            let words: [OsString; 6] = [
                "-xf".into(),
                path.into(),
                "--no-same-owner".into(),
                "--no-same-permissions".into(),
                "-C".into(),
                (&closed).into(),
            ];
            Process::new("bsdtar", words, environment)
        } else {
            let words: [OsString; 3] = ["-x".into(), path.into(), (&closed).into()];
            Process::new("dpkg-deb", words, environment)
        };
        run(&process)?;
        admit(&closed, folder)?;
        fs::remove_any(&closed)?;
    }
    Ok(())
}

/// Takes headers, the modules' folders of kernels, and the programs of headers: files, folders and links,
/// with no more rights than a package's files have by themselves.
fn admit(closed: &Path, folder: &Path) -> Result<(), FsError> {
    let programs =
        fs::list(&closed.join("usr/lib"))?.into_iter().filter_map(|entry| entry.name.into_string().ok());
    let programs = programs.filter(|name| name.starts_with(PROGRAMS)).map(|name| format!("usr/lib/{name}"));
    let places = PLACES.into_iter().map(str::to_owned).chain(programs);
    places
        .filter(|place| is_plain_folder(closed, place))
        .try_for_each(|place| copy_over(&closed.join(&place), &folder.join(&place)))
}

/// Whether each part of a path below a folder is a folder, and none a link.
fn is_plain_folder(below: &Path, path: &str) -> bool {
    let mut at = below.to_owned();
    path.split('/').all(|part| {
        at.push(part);
        fs::lstat(&at).is_ok_and(|meta| meta.is_some_and(|meta| meta.is_dir()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn nothing_but_headers_is_taken() {
        let dir = tempfile::tempdir().unwrap();
        let (closed, folder) = (dir.path().join("closed"), dir.path().join("folder"));
        for path in [
            "usr/src/linux-headers-1/include",
            "usr/lib/modules/1",
            "usr/lib/linux-kbuild-1/scripts",
            "usr/lib/x86_64-linux-gnu",
            "usr/bin",
            "etc",
        ] {
            fs::create_dir_all(&closed.join(path)).unwrap();
        }
        for path in
            ["usr/lib/x86_64-linux-gnu/libgcc_s.so.1", "usr/bin/make", "etc/passwd", "usr/lib/os-release"]
        {
            fs::write_whole(&closed.join(path), b"x", 0o644).unwrap();
        }
        let tool = closed.join("usr/lib/linux-kbuild-1/scripts/tool");
        fs::write_whole(&tool, b"x", 0o755).unwrap();
        fs::set_mode(&tool, 0o6777).unwrap();
        let fifo = closed.join("usr/src/linux-headers-1/fifo");
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, 0o644.into(), 0).unwrap();
        fs::symlink(Path::new("/usr/src/linux-headers-1"), &closed.join("usr/lib/modules/1/build")).unwrap();
        // A link where a folder should be leads to the system's own.
        fs::create_dir_all(&closed.join("lib")).unwrap();
        fs::symlink(Path::new("/lib/modules"), &closed.join("lib/modules")).unwrap();
        admit(&closed, &folder).unwrap();
        let mut found: Vec<String> = walkdir::WalkDir::new(&folder)
            .into_iter()
            .map(|entry| entry.unwrap().path().strip_prefix(&folder).unwrap().display().to_string())
            .collect();
        found.sort();
        let expected = [
            "",
            "usr",
            "usr/lib",
            "usr/lib/linux-kbuild-1",
            "usr/lib/linux-kbuild-1/scripts",
            "usr/lib/linux-kbuild-1/scripts/tool",
            "usr/lib/modules",
            "usr/lib/modules/1",
            "usr/lib/modules/1/build",
            "usr/src",
            "usr/src/linux-headers-1",
            "usr/src/linux-headers-1/include",
        ];
        assert_eq!(found, expected);
        let mode = fs::stat(&folder.join("usr/lib/linux-kbuild-1/scripts/tool")).unwrap().unwrap();
        assert_eq!(mode.permissions().mode() & 0o7777, 0o755);
        // Another package adds to the same folders.
        fs::create_dir_all(&closed.join("usr/lib/modules/1/kernel")).unwrap();
        admit(&closed, &folder).unwrap();
        assert!(fs::is_dir(&folder.join("usr/lib/modules/1/kernel")));
        assert!(fs::link_target(&folder.join("usr/lib/modules/1/build")).unwrap().is_some());
    }
}

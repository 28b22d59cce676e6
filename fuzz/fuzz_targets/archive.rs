//! Whatever bytes `dkms ldtarball` is given: no panic, nothing outside the folder that it stages in, and no
//! link in what it takes that leads out of it.

#![no_main]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use dkms_core::archive::{Limits, stage};
use libfuzzer_sys::fuzz_target;

/// In memory: each input is unpacked.
fn place() -> &'static Path {
    static PLACE: OnceLock<PathBuf> = OnceLock::new();
    PLACE.get_or_init(|| {
        let dir = tempfile::tempdir_in("/dev/shm").expect("there is /dev/shm").keep();
        fs::write(dir.join("victim"), b"untouched").expect("it is ours");
        dir
    })
}

fn check_links(folder: &Path, root: &Path) {
    for entry in fs::read_dir(folder).expect("it was just made").flatten() {
        let kind = entry.file_type().expect("it is there");
        if kind.is_dir() {
            check_links(&entry.path(), root);
        } else if kind.is_symlink()
            && let Ok(end) = entry.path().canonicalize()
        {
            assert!(end.starts_with(root), "{} leads to {}", entry.path().display(), end.display());
        }
    }
}

fuzz_target!(|bytes: &[u8]| {
    let place = place();
    let (archive, into) = (place.join("archive"), place.join("into"));
    fs::write(&archive, bytes).expect("it is ours");
    fs::create_dir(&into).expect("it was removed");
    let limits =
        Limits { bytes: 1 << 20, entries: 500, name_bytes: 50_000, ratio_from: 1 << 18, ..Limits::default() };
    if let Ok(staged) = stage(&archive, &into, &limits)
        && let Some(source) = staged.source
    {
        check_links(&source, &source.canonicalize().expect("it is there"));
    }
    fs::remove_dir_all(&into).expect("it is ours");
    assert_eq!(fs::read(place.join("victim")).expect("it is still there"), b"untouched");
    assert_eq!(fs::read_dir(place).expect("it is ours").count(), 2, "something appeared outside");
});

//! `options NAME PARAMETERS` of modprobe.d, as modprobe.d(5) has it: a line that ends with a backslash goes
//! on.

use std::collections::BTreeMap;

use dkms_base::host::fs::{self, FsError};
use dkms_base::layout::Layout;
use dkms_kernel::kmod_conf;
use dkms_kernel::modfile::canonical_name;

/// No file of parameters is larger.
const LIMIT: u64 = 1 << 20;

/// The parameters of each module, by its name as the kernel has it.
///
/// # Errors
/// [`FsError`] where a folder or file can't be read.
pub(crate) fn of_system(layout: &Layout) -> Result<BTreeMap<String, String>, FsError> {
    let mut options = BTreeMap::new();
    for path in kmod_conf("modprobe.d", layout)? {
        if fs::is_file(&path) {
            add(&mut options, &String::from_utf8_lossy(&fs::read_limited(&path, LIMIT)?));
        }
    }
    Ok(options)
}

fn add(options: &mut BTreeMap<String, String>, text: &str) {
    for line in text.replace("\\\n", " ").lines() {
        let mut words = line.split_whitespace();
        let (Some("options"), Some(name)) = (words.next(), words.next()) else { continue };
        let all: &mut String = options.entry(canonical_name(name)).or_default();
        for word in words {
            if !all.is_empty() {
                all.push(' ');
            }
            all.push_str(word);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_folder_counts_and_lines_add_up() {
        let root = tempfile::tempdir().unwrap();
        let layout = Layout::under(root.path());
        let write = |path: &str, text: &str| {
            let path = layout.at(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write_whole(&path, text.as_bytes(), 0o644).unwrap();
        };
        write("/etc/modprobe.d/a.conf", "# options x no=1\noptions snd-hda a=1 \\\n  b=2\nblacklist foo\n");
        write("/usr/lib/modprobe.d/a.conf", "options snd_hda hidden=1\n");
        write("/usr/lib/modprobe.d/b.conf", "options snd_hda c=\"3 4\"\noptions bare\n");
        write("/usr/lib/modprobe.d/c.txt", "options snd_hda d=1\n");
        let options = of_system(&layout).unwrap();
        assert_eq!(options["snd_hda"], "a=1 b=2 c=\"3 4\"");
        assert_eq!(options["bare"], "");
        assert_eq!(options.len(), 2);
    }
}

//! What builds and confs read of a kernel: its headers in all their trees, its
//! configuration, its map of symbols.

use std::path::{Path, PathBuf};

use super::keys;
use dkms_base::host::fs;
use dkms_base::id::KernelRelease;
use dkms_base::layout::Layout;

/// More trees than a kernel is ever in.
const MOST_TREES: usize = 8;

/// No Makefile of a kernel is longer.
const LONGEST: u64 = 1 << 20;

/// The inputs of a kernel.
#[derive(Debug, Clone, Default)]
pub struct KernelInputs {
    /// Files and folders.
    pub paths: Vec<PathBuf>,
    /// Keys that its own modules are signed with, which nobody else is to read.
    pub keys: Vec<PathBuf>,
}

impl KernelInputs {
    /// Those of `kernel`, whose headers are in `headers`.
    pub fn of(layout: &Layout, headers: &Path, kernel: &KernelRelease) -> Self {
        let own = layout.kernel_dir(kernel);
        let mut trees: Vec<PathBuf> =
            vec![headers.to_owned(), headers.join("source"), own.join("build"), own.join("source")];
        let mut at = 0;
        while let Some(tree) = trees.get(at).cloned() {
            at += 1;
            for named in trees_that_it_names(&tree) {
                if trees.len() < MOST_TREES && !trees.contains(&named) {
                    trees.push(named);
                }
            }
        }
        let keys = trees.iter().flat_map(|tree| keys::of_headers(tree)).collect();
        let files = [
            layout.system_map(kernel),
            layout.boot_config(kernel),
            own.join("System.map"),
            own.join("config"),
            layout.etc_dkms(),
        ];
        let paths = trees.into_iter().chain(files).filter(|path| fs::exists(path)).collect();
        Self { paths, keys }
    }
}

/// The trees of a kernel that the Makefile of another one goes on in: of a build with `O=`, of
/// distributions' common headers.
fn trees_that_it_names(tree: &Path) -> Vec<PathBuf> {
    let Ok(bytes) = fs::read_limited(&tree.join("Makefile"), LONGEST) else { return Vec::new() };
    let text = String::from_utf8_lossy(&bytes);
    let ends = |c: char| c.is_whitespace() || "=:\"'`,;()".contains(c);
    let mut found: Vec<PathBuf> = Vec::new();
    for word in text.split(ends).filter(|word| word.starts_with('/') && !word.contains('$')) {
        let path = Path::new(word);
        let folder = if path.ends_with("Makefile") { path.parent().unwrap_or(path) } else { path };
        if !found.iter().any(|known| known == folder) && is_of_a_kernel(folder) {
            found.push(folder.to_owned());
        }
    }
    found
}

fn is_of_a_kernel(folder: &Path) -> bool {
    fs::is_file(&folder.join("Makefile"))
        && fs::is_dir(&folder.join("scripts"))
        && fs::is_dir(&folder.join("include"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_output_tree_leads_to_its_source_tree_and_keys_are_none_of_it() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        let layout = Layout::under(root);
        let kernel = KernelRelease::new("6.1-own").unwrap();
        for folder in ["out/scripts", "out/include", "linux/scripts", "linux/include", "linux/certs", "boot"]
        {
            fs::create_dir_all(&root.join(folder)).unwrap();
        }
        fs::create_dir_all(&layout.kernel_dir(&kernel)).unwrap();
        let makefile = format!(
            "# made by {0}/linux/Makefile: don't edit\ninclude {0}/linux/Makefile\nX=/nix\n",
            root.display()
        );
        fs::write_whole(&root.join("out/Makefile"), makefile.as_bytes(), 0o644).unwrap();
        fs::write_whole(&root.join("linux/Makefile"), b"SHELL = /bin/sh\n", 0o644).unwrap();
        fs::write_whole(&root.join("out/.config"), b"CONFIG_MODULE_SIG_KEY=\"own.pem\"\n", 0o644).unwrap();
        for key in ["out/own.pem", "linux/certs/signing_key.pem", "boot/config-6.1-own"] {
            fs::write_whole(&root.join(key), b"", 0o600).unwrap();
        }
        let found = KernelInputs::of(&layout, &root.join("out"), &kernel);
        assert_eq!(found.paths, ["out", "linux", "boot/config-6.1-own"].map(|name| root.join(name)));
        assert_eq!(found.keys, ["out/own.pem", "linux/certs/signing_key.pem"].map(|name| root.join(name)));
    }
}

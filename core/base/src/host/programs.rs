//! Where programs are, without running anything.

use std::path::{Path, PathBuf};

use super::environment::Environment;
use super::fs;

/// The program of that name, found as a shell would: in the folders of `PATH`, or as it is
/// where the name has a `/`.
#[must_use]
pub fn find(name: &str, environment: &Environment) -> Option<PathBuf> {
    if name.is_empty() {
        return None;
    }
    if name.contains('/') {
        return Some(PathBuf::from(name)).filter(|path| fs::is_executable(path));
    }
    let folders = environment.get("PATH").unwrap_or("/usr/sbin:/usr/bin:/sbin:/bin").split(':');
    folders
        .filter(|folder| folder.starts_with('/'))
        .map(|folder| Path::new(folder).join(name))
        .find(|path| fs::is_executable(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_that_can_run_counts() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (dir.path().join("a"), dir.path().join("b"));
        for (folder, mode) in [(&a, 0o644), (&b, 0o755)] {
            fs::create_dir_all(folder).unwrap();
            fs::write_whole(&folder.join("tool"), b"", mode).unwrap();
        }
        let environment = [("PATH", format!(".::{}:{}", a.display(), b.display()))].into_iter().collect();
        assert_eq!(find("tool", &environment), Some(b.join("tool")));
        assert_eq!(find("no-tool", &environment), None);
        assert_eq!(find(a.join("tool").to_str().unwrap(), &environment), None);
        assert_eq!(find("", &environment), None);
    }
}

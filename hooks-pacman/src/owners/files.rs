//! Owners of paths from the files of the local database: a folder for each package, with
//! `desc` and `files` in it.

use std::path::Path;

use dkms_base::host::fs;

use super::{Owner, Owners};

/// Who owns these paths. A package whose files can't be read owns nothing.
#[must_use]
pub fn owners(database: &Path, paths: &[String]) -> Owners {
    let local = database.join("local");
    let mut owners = Owners::new();
    for entry in fs::list(&local).unwrap_or_default() {
        let folder = local.join(&entry.name);
        let owned = fs::read_lossy(&folder.join("files")).map(|list| owned(&list, paths)).unwrap_or_default();
        if owned.is_empty() {
            continue;
        }
        let description = fs::read_lossy(&folder.join("desc")).unwrap_or_default();
        if let Some(owner) = describe(&description) {
            owners.extend(owned.into_iter().map(|path| (path, owner.clone())));
        }
        if owners.len() == paths.len() {
            break;
        }
    }
    owners
}

/// Which of these paths a package's list names.
fn owned(list: &str, paths: &[String]) -> Vec<String> {
    let Some(listed) = section(list, "FILES") else { return Vec::new() };
    // Nearly no package has any, and lists are long: a look for the part that all have is enough to know.
    if !listed.contains("usr/src/") && !listed.contains("usr/lib/modules/") {
        return Vec::new();
    }
    paths.iter().filter(|path| listed.lines().any(|line| line == path.as_str())).cloned().collect()
}

/// What stands under a heading, up to the next empty line.
fn section<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let heading = format!("%{name}%\n");
    let start = match text.strip_prefix(&heading) {
        Some(_) => heading.len(),
        None => text.find(&format!("\n{heading}"))? + 1 + heading.len(),
    };
    let rest = &text[start..];
    Some(rest.find("\n\n").map_or(rest, |end| &rest[..end]))
}

fn describe(description: &str) -> Option<Owner> {
    let line = |name| section(description, name).and_then(|text| text.lines().next()).map(str::to_owned);
    let built = line("BUILDDATE").and_then(|text| text.parse().ok()).unwrap_or(0);
    Some(Owner { name: line("NAME")?, version: line("VERSION")?, built })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(local: &Path, name: &str, version: &str, files: &str) {
        let folder = local.join(format!("{name}-{version}"));
        fs::create_dir_all(&folder).unwrap();
        let description =
            format!("%NAME%\n{name}\n\n%VERSION%\n{version}\n\n%BASE%\nx\n\n%BUILDDATE%\n1700000000\n");
        fs::write_whole(&folder.join("desc"), description.as_bytes(), 0o644).unwrap();
        let files = format!("%FILES%\nusr/\n{files}\n\n%BACKUP%\nusr/src/other-1/dkms.conf\tx\n");
        fs::write_whole(&folder.join("files"), files.as_bytes(), 0o644).unwrap();
    }

    #[test]
    fn lists_are_searched_for_whole_paths() {
        let dir = tempfile::tempdir().unwrap();
        let local = dir.path().join("local");
        package(&local, "foo-dkms", "1:1.0-1", "usr/src/\nusr/src/foo-1.0/dkms.conf");
        package(&local, "linux", "6.1-1", "usr/lib/modules/6.1.0/\nusr/lib/modules/6.1.0/vmlinuz");
        fs::write_whole(&local.join("ALPM_DB_VERSION"), b"9\n", 0o644).unwrap();
        let paths = [
            "usr/src/foo-1.0/dkms.conf",
            "usr/lib/modules/6.1.0/vmlinuz",
            "usr/lib/modules/6.1.0/vmlinu",
            "usr/src/other-1/dkms.conf",
        ];
        let found = owners(dir.path(), &paths.map(str::to_owned));
        let names: Vec<(&str, &str, i64)> =
            found.values().map(|owner| (owner.name.as_str(), owner.version.as_str(), owner.built)).collect();
        assert_eq!(names, [("linux", "6.1-1", 1_700_000_000), ("foo-dkms", "1:1.0-1", 1_700_000_000)]);
    }
}

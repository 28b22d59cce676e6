//! `install.list`: what this project installs, where, and in which package. Text in, lines out.

use std::path::{Path, PathBuf};

use crate::error::PackageError;

/// A line of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// For which kind of system; `any` is for all.
    pub place: String,
    /// In which package.
    pub package: String,
    /// What comes there.
    pub what: What,
    /// Where, without the leading slash.
    pub destination: PathBuf,
}

/// What is installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// An empty folder.
    Folder,
    /// A file of a source, with a mode.
    File(Source, u32),
}

/// Where a file comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A built program.
    Program(String),
    /// A page or completion made from a command line's definition.
    Generated(String),
    /// A file of this tree.
    Tree(PathBuf),
}

impl Line {
    /// Whether it is for a kind of system and a package, of which `None` is each.
    #[must_use]
    pub fn is_for(&self, place: &str, package: Option<&str>) -> bool {
        let fits = self.place.split(',').any(|own| own == "any" || own == place);
        fits && package.is_none_or(|package| package == self.package)
    }

    /// Whether dpkg keeps an administrator's changes of it.
    #[must_use]
    pub fn is_conffile(&self) -> bool {
        self.what != What::Folder && self.destination.starts_with("etc")
    }
}

/// Reads the list, whose file errors name.
///
/// # Errors
/// [`PackageError::Control`] with the number of the line.
pub fn parse(text: &str, file: &Path) -> Result<Vec<Line>, PackageError> {
    let mut lines = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        let fault = |why: &str| PackageError::Control {
            path: file.to_owned(),
            why: format!("line {} {why}", index + 1),
        };
        let words: Vec<&str> = line.split_whitespace().collect();
        let &[place, package, mode, destination, source] = words.as_slice() else {
            return Err(fault("has not five words"));
        };
        let what = if mode == "dir" {
            What::Folder
        } else {
            let mode = u32::from_str_radix(mode, 8).map_err(|_| fault("has no mode"))?;
            let source = match source.split_once('/') {
                Some(("bin", name)) => Source::Program(name.to_owned()),
                Some(("gen", name)) => Source::Generated(name.to_owned()),
                _ => Source::Tree(source.into()),
            };
            What::File(source, mode)
        };
        if destination.starts_with('/') || destination.split('/').any(|part| part == "..") {
            return Err(fault("leads out of the package"));
        }
        let line =
            Line { place: place.into(), package: package.into(), what, destination: destination.into() };
        lines.push(line);
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_say_what_goes_where() {
        let text = "# c\n\nany dkms 0755 usr/sbin/dkms bin/dkms\nplain,arch x dir var/x -\ndebian y 0644 etc/y a/b\n";
        let lines = parse(text, Path::new("l")).unwrap();
        assert_eq!(lines[0].what, What::File(Source::Program("dkms".into()), 0o755));
        assert!(lines[0].is_for("debian", Some("dkms")) && !lines[0].is_for("debian", Some("x")));
        assert!(lines[1].is_for("arch", None) && !lines[1].is_for("debian", None));
        assert!(lines[2].is_conffile() && !lines[1].is_conffile());
        for wrong in ["any dkms 0644 a", "any dkms rw a b", "any dkms 0644 /a b", "any dkms 0644 a/../b c"] {
            let error = parse(wrong, Path::new("l")).unwrap_err();
            assert!(error.to_string().contains("line 1"), "{error}");
        }
    }

    #[test]
    fn links_of_the_installed_readme_lead_to_installed_files() {
        let tree = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let read = |name: &str| dkms_base::host::fs::read_lossy(&tree.join(name)).unwrap();
        let lines = parse(&read("packaging/install.list"), Path::new("l")).unwrap();
        let folder = Path::new("usr/share/doc/dkms");
        let is_there = |name: &Path| {
            let mut lines = lines.iter().filter(|line| line.place == "any");
            lines.any(|line| line.destination == folder.join(name))
        };
        let mut files = vec![PathBuf::from("README.md")];
        let mut seen = 0;
        while let Some(file) = files.get(seen).cloned() {
            seen += 1;
            for link in
                read(&file.to_string_lossy()).split("](").skip(1).filter_map(|rest| rest.split(')').next())
            {
                let link = link.split('#').next().unwrap();
                if link.is_empty() || link.contains("://") || !link.ends_with(".md") {
                    continue;
                }
                let name = file.parent().unwrap().join(link);
                assert!(
                    is_there(&name),
                    "`{}` links to `{}`, which is not installed",
                    file.display(),
                    name.display()
                );
                if !files.contains(&name) {
                    files.push(name);
                }
            }
        }
        assert!(seen > 10, "{files:?}");
    }
}

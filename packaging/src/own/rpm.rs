//! This project's own rpm: what `install.list` names, with what `packaging/dkms.spec` says of it, its
//! scripts and its triggers.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use dkms_base::host::fs;
use rpm::{FileOptions, PackageBuilder, Scriptlet};

use super::list::{Line, Source, What};
use super::{Project, libraries};
use crate::entries::Body;
use crate::error::PackageError;
use crate::mkrpm::about::About;
use crate::mkrpm::binary;
use crate::mkrpm::macros::Macros;
use crate::mkrpm::name::seconds;
use crate::mkrpm::spec::{Care, Spec};

/// What rpmbuild reads.
pub const SPEC: &str = "packaging/dkms.spec";

/// A trigger: its section's name, what it is for, its script.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Trigger {
    kind: String,
    names: Vec<String>,
    script: String,
}

impl Project {
    /// Writes the package for an architecture into a folder, as new as `date`; where it is.
    ///
    /// # Errors
    /// [`PackageError`]; nothing partial is left.
    pub fn rpm(&self, arch: &str, date: u64, into: &Path) -> Result<PathBuf, PackageError> {
        let file = self.tree.join(SPEC);
        let text = fs::read_lossy(&file)?;
        let lines = self.lines("redhat", Some("dkms"))?;
        let about = self.about(&text, &file, arch)?;
        let path = into.join(format!("{}.{arch}.rpm", about.label()));
        let date = seconds(date);
        let mut builder = about.builder(date);
        for need in self.needs(&lines)? {
            builder.requires(rpm::Dependency::any(need));
        }
        for trigger in triggers(&text) {
            add_trigger(&mut builder, trigger);
        }
        self.add_files(&mut builder, &lines, date, &path)?;
        binary::finish(builder, &path)?;
        Ok(path)
    }

    fn about(&self, text: &str, file: &Path, arch: &str) -> Result<About, PackageError> {
        let version = text.lines().find_map(|line| line.strip_prefix("Version:")).unwrap_or_default();
        let mut macros = Macros::new();
        macros.define("version", version.trim());
        let spec = Spec::read(text, file, macros, Care::Whole)?;
        let tag = |name: &str| {
            spec.tag(name).map(str::to_owned).ok_or_else(|| PackageError::SpecTag {
                path: file.to_owned(),
                tag: name.to_owned(),
                why: "it is missing".to_owned(),
            })
        };
        let mut about = About {
            name: tag("name")?,
            epoch: None,
            version: tag("version")?,
            release: tag("release")?,
            arch: arch.to_owned(),
            license: String::new(),
            summary: String::new(),
            description: String::new(),
            words: vec![("Packager", "DKMS <dkms@localhost>".to_owned())],
            change: "See CHANGELOG.md".to_owned(),
            relations: Vec::new(),
            scripts: Vec::new(),
        };
        about.take_over(spec, file)?;
        // As rpmbuild says it.
        for script in about.scripts.iter_mut().filter(|script| script.program.is_empty()) {
            script.program = vec!["/bin/sh".to_owned()];
        }
        Ok(about)
    }

    /// The libraries that the programs need, as rpm writes them.
    fn needs(&self, lines: &[Line]) -> Result<BTreeSet<String>, PackageError> {
        let mut needs = BTreeSet::new();
        for line in lines {
            if let What::File(Source::Program(name), _) = &line.what
                && let Some(program) = self.programs.get(name)
            {
                needs.extend(libraries::symbols(program)?);
            }
        }
        Ok(needs)
    }

    fn add_files(
        &self,
        builder: &mut PackageBuilder,
        lines: &[Line],
        date: u32,
        path: &Path,
    ) -> Result<(), PackageError> {
        let folders: BTreeSet<&Path> = lines
            .iter()
            .filter(|line| line.what == What::Folder)
            .map(|line| line.destination.as_path())
            .collect();
        for (name, entry) in self.entries(lines)?.iter() {
            let full = format!("/{}", name.display());
            let mode = u16::try_from(entry.mode).unwrap_or(0o644);
            let file = || {
                let options = FileOptions::new(full.clone()).permissions(mode).modified_at(date.into());
                match kind(name) {
                    Kind::Plain => options,
                    Kind::Config => options.config().noreplace(),
                    Kind::Doc => options.doc(),
                    Kind::License => options.license(),
                }
            };
            let added = match &entry.body {
                Body::Folder if folders.contains(name) => builder.with_dir_entry(
                    FileOptions::dir(full.clone()).permissions(mode).modified_at(date.into()),
                ),
                // Another user's.
                Body::Folder => continue,
                Body::Bytes(bytes) => builder.with_file_contents(bytes.clone(), file()),
                Body::File { path, .. } => builder.with_file(path, file()),
                Body::Link(target) => {
                    builder.with_symlink(FileOptions::symlink(full.clone(), target.to_string_lossy()))
                }
            };
            added.map_err(|source| binary::rpm_error(path, source))?;
        }
        Ok(())
    }

    /// What `%files` says of the same.
    ///
    /// # Errors
    /// [`PackageError`] where the list can't be read.
    pub fn rpm_files(&self) -> Result<String, PackageError> {
        let mut text = String::new();
        for Line { what, destination, .. } in self.lines("redhat", Some("dkms"))? {
            let name = destination.display();
            match what {
                What::Folder => text.push_str(&format!("%dir %attr(0755, root, root) \"/{name}\"\n")),
                What::File(_, mode) => {
                    let word = match kind(&destination) {
                        Kind::Plain => "",
                        Kind::Config => "%config(noreplace) ",
                        Kind::Doc => "%doc ",
                        Kind::License => "%license ",
                    };
                    text.push_str(&format!("{word}%attr({mode:04o}, root, root) \"/{name}\"\n"));
                }
            }
        }
        Ok(text)
    }
}

enum Kind {
    Plain,
    /// An administrator's changes of it are kept.
    Config,
    Doc,
    License,
}

fn kind(name: &Path) -> Kind {
    match name {
        _ if name.starts_with("etc") => Kind::Config,
        _ if name.starts_with("usr/share/doc") || name.starts_with("usr/share/man") => Kind::Doc,
        _ if name.starts_with("usr/share/licenses") => Kind::License,
        _ => Kind::Plain,
    }
}

/// The triggers of a spec file, which have no macros in them.
fn triggers(text: &str) -> Vec<Trigger> {
    let mut triggers: Vec<Trigger> = Vec::new();
    let mut is_open = false;
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            [section, "--", names @ ..] if section.starts_with('%') && section.contains("trigger") => {
                is_open = true;
                triggers.push(Trigger {
                    kind: section[1..].to_owned(),
                    names: names.iter().map(|name| (*name).to_owned()).collect(),
                    script: String::new(),
                });
            }
            [section, ..] if section.starts_with('%') => is_open = false,
            _ => {
                if let Some(trigger) = triggers.last_mut().filter(|_| is_open) {
                    trigger.script.push_str(line);
                    trigger.script.push('\n');
                }
            }
        }
    }
    // rpmbuild takes away the lines' ends at a script's end.
    triggers.iter_mut().for_each(|trigger| trigger.script.truncate(trigger.script.trim_end().len()));
    triggers
}

fn add_trigger(builder: &mut PackageBuilder, trigger: Trigger) {
    for name in &trigger.names {
        let script = Scriptlet::new(trigger.script.clone());
        match trigger.kind.as_str() {
            "triggerin" => builder.trigger_in(name, None, script),
            "transfiletriggerin" => builder.trans_file_trigger_in(name, None, script),
            "transfiletriggerun" => builder.trans_file_trigger_un(name, None, script),
            _ => builder.trans_file_trigger_postun(name, None, script),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn triggers_are_found() {
        let text = "%post\nx\n%triggerin -- a\ny\n\nz\n\n%transfiletriggerin -- /a /b\nw\n%files -f l\n/q\n";
        let found = triggers(text);
        let looks: Vec<_> =
            found.iter().map(|one| (one.kind.as_str(), one.names.len(), one.script.as_str())).collect();
        assert_eq!(looks, [("triggerin", 1, "y\n\nz"), ("transfiletriggerin", 2, "w")]);
    }

    #[test]
    fn our_own_spec_is_understood() {
        let tree = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let file = tree.join(SPEC);
        let text = fs::read_lossy(&file).unwrap();
        let kinds: BTreeSet<_> = triggers(&text).into_iter().map(|one| one.kind).collect();
        let known = ["transfiletriggerin", "transfiletriggerpostun", "transfiletriggerun", "triggerin"];
        assert_eq!(kinds.iter().map(String::as_str).collect::<Vec<_>>(), known);
        assert!(
            !triggers(&text).iter().any(|one| one.script.contains("%{")),
            "macros are not expanded there"
        );
        let project = Project { tree, programs: [].into(), generated: [].into() };
        let about = project.about(&text, &file, "x86_64").unwrap();
        assert_eq!((about.name.as_str(), about.version.as_str()), ("dkms", env!("CARGO_PKG_VERSION")));
        assert!(
            project.rpm_files().unwrap().contains("%config(noreplace) %attr(0644, root, root) \"/etc/dkms/")
        );
    }
}

//! Looks at what packages have brought: at the disk, and where a file has changed, at rpm's database.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use dkms_base::host::Environment;
use dkms_base::host::fs::{self, FsError};
use dkms_base::host::process::{Process, ProcessError};
use dkms_base::host::root;
use dkms_base::layout::Layout;
use dkms_core::plan::ConfFault;
use dkms_hooks::{Adapter, AdapterError, Plain};
use dkms_kernel as kernel;

use crate::view::{Owner, Package, Seen, View};

/// The program that adapters of rpm are; our own package has it.
pub const PROGRAM: &str = "/usr/libexec/dkms/hooks-dnf";

/// A question to rpm's database takes no time; where it does, another process holds it.
const PATIENCE: Duration = Duration::from_secs(60);

/// Why nothing is known.
#[derive(Debug, thiserror::Error)]
pub enum LookError {
    /// The system can't be looked at.
    #[error(transparent)]
    Adapter(#[from] AdapterError),
    /// Something can't be looked at.
    #[error(transparent)]
    Fs(#[from] FsError),
    /// rpm can't be run.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// rpm doesn't know.
    #[error("`{line}` ended with {code}: {output}")]
    Rpm {
        /// The command.
        line: String,
        /// Its exit code.
        code: i32,
        /// What it wrote.
        output: String,
    },
}

/// What is there now. What is as it was before isn't looked at again.
///
/// # Errors
/// [`LookError`]: then nothing has come and nothing has gone, as far as is known.
pub fn look<W: std::io::Write + Send>(
    adapter: &Adapter,
    before: Option<&View>,
    out: &Plain<W>,
) -> Result<View, LookError> {
    let (layout, environment) = (&adapter.settings.layout, &adapter.environment);
    let nothing = View::default();
    let before = before.unwrap_or(&nothing);
    let mut now = View::default();
    for release in kernel::installed_kernels(layout)? {
        let name = release.to_string();
        if let Some(seen) = first_owned(&kernel_files(layout, &name), before.kernels.get(&name), environment)?
        {
            now.kernels.insert(name.clone(), seen);
        }
        if let Some(seen) = first_owned(&header_files(layout, &name), before.headers.get(&name), environment)?
        {
            now.headers.insert(name, seen);
        }
    }
    for entry in fs::list(&layout.source_tree)? {
        let Some(folder) = entry.name.to_str() else { continue };
        let conf = layout.source_tree.join(folder).join("dkms.conf");
        let known = before.modules.get(folder);
        let Some(mut seen) = first_owned(std::slice::from_ref(&conf), known, environment)? else { continue };
        match known.filter(|known| known.stamp == seen.stamp && known.module.is_some()) {
            Some(known) => seen.module.clone_from(&known.module),
            None if seen.owner.is_some() => match adapter.module_in(folder)? {
                Ok(id) => seen.module = Some((id.name.to_string(), id.version.to_string())),
                Err(ConfFault::Missing { .. }) => {}
                Err(ConfFault::Invalid { path, problems }) => {
                    out.say(&format!("warning: `{}` is not valid: {}", path.display(), problems.join("; ")));
                }
            },
            None => {}
        }
        now.modules.insert(folder.to_owned(), seen);
    }
    Ok(now)
}

/// Whether we came in a package of rpm's: then its triggers are there as well.
#[must_use]
pub fn we_are_packaged(environment: &Environment) -> bool {
    matches!(owner(Path::new(PROGRAM), environment), Ok(Some(_)))
}

/// Files that a kernel's package has, one of them at least.
fn kernel_files(layout: &Layout, release: &str) -> Vec<PathBuf> {
    let folder = layout.install_tree.join(release);
    let inside = ["vmlinuz", "modules.builtin", "modules.order"].map(|name| folder.join(name));
    inside.into_iter().chain([layout.at("/boot").join(format!("vmlinuz-{release}"))]).collect()
}

/// The same for headers: `build` may be a link that leads into the package of another kernel, or
/// of the kernel itself.
fn header_files(layout: &Layout, release: &str) -> Vec<PathBuf> {
    let build = layout.install_tree.join(release).join("build");
    fs::canonical(&build)
        .map_or_else(|_| Vec::new(), |folder| ["Makefile", ".config"].map(|name| folder.join(name)).into())
}

/// The first of these that a package owns, or else the first that is there.
fn first_owned(
    files: &[PathBuf],
    known: Option<&Seen>,
    environment: &Environment,
) -> Result<Option<Seen>, LookError> {
    let mut first = None;
    for file in files {
        let Some(meta) = fs::lstat(file)? else { continue };
        let stamp = (meta.ino(), meta.ctime(), meta.ctime_nsec());
        if let Some(known) = known.filter(|known| known.stamp == stamp) {
            return Ok(Some(Seen { module: None, ..known.clone() }));
        }
        let seen = Seen { stamp, owner: owner(file, environment)?, module: None };
        if seen.owner.is_some() {
            return Ok(Some(seen));
        }
        first = first.or(Some(seen));
    }
    Ok(first)
}

/// What the packages that own a file do when the transaction ends, before rpm calls our triggers: their
/// %posttrans, one after the other. Empty where that can't be known.
#[must_use]
pub fn posttrans_of(file: &Path, environment: &Environment) -> String {
    let words: [std::ffi::OsString; 4] = [
        "-qf".into(),
        "--qf".into(),
        r"%|POSTTRANS?{%{POSTTRANS}\n}:{%|POSTTRANSPROG?{%{POSTTRANSPROG}\n}|}|".into(),
        file.into(),
    ];
    let process = Process::new("rpm", words, environment).env("LC_ALL", "C.UTF-8").time_limit(PATIENCE);
    process
        .capture_stdout()
        .ok()
        .filter(|ended| ended.code() == 0)
        .map(|ended| ended.text())
        .unwrap_or_default()
}

/// The packages that own a file, as rpm's database says.
fn owner(file: &Path, environment: &Environment) -> Result<Option<Owner>, LookError> {
    let words = [
        "-qf".into(),
        "--qf".into(),
        r"%{NEVRA} %{BUILDTIME} %{INSTALLTID} %{DBINSTANCE}\n".into(),
        file.into(),
    ];
    let words: [std::ffi::OsString; 4] = words;
    let process = Process::new("rpm", words, environment).env("LC_ALL", "C.UTF-8").time_limit(PATIENCE);
    let ended = match process.capture() {
        // Of an image that is only read nobody asks rpm.
        Err(error) if error.is_not_found() && !root::may_run_its_programs() => return Ok(None),
        ended => ended?,
    };
    let output = ended.text();
    if ended.code() == 0 {
        return Ok(Some(parse_owner(&output)));
    }
    if output.contains("is not owned by any package") || output.contains("No such file or directory") {
        return Ok(None);
    }
    let output = output.trim_end().to_owned();
    Err(LookError::Rpm { line: process.line(), code: ended.code(), output })
}

/// A line for each package: its name and when it was built, the transaction's number, the record's.
fn parse_owner(text: &str) -> Owner {
    let packages: BTreeSet<Package> = text
        .lines()
        .filter_map(|line| {
            let mut from_the_end = line.rsplitn(3, ' ').map(str::to_owned);
            let (record, transaction) = (from_the_end.next()?, from_the_end.next()?);
            Some(Package { build: from_the_end.next()?, transaction, record })
        })
        .collect();
    Owner(packages.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_are_lines() {
        let owner = parse_owner("b-1-1.noarch 3 17 9\na-1-1.x86_64 4 18 10\n");
        let package = |build: &str, transaction: &str, record: &str| {
            let [build, transaction, record] = [build, transaction, record].map(str::to_owned);
            Package { build, transaction, record }
        };
        assert_eq!(owner.0, [package("a-1-1.x86_64 4", "18", "10"), package("b-1-1.noarch 3", "17", "9")]);
        assert!(owner.came_with("17") && !owner.came_with("19"));
    }
}

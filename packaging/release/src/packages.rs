//! This project, built, as finished packages.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use dkms_base::host::Environment;
use dkms_base::id::Arch;
use dkms_packaging::debian::name;
use dkms_packaging::own::{Project, is_built};

pub use dkms_packaging::deb::Packing;

use crate::pages;

/// The programs that packages have.
pub const PROGRAMS: [&str; 6] = ["dkms", "dkms-fetch", "dh_dkms", "hooks-apt", "hooks-dnf", "hooks-pacman"];
/// The packages.
pub const DEBS: [&str; 2] = ["dkms", "dh-dkms"];

/// Which programs of a folder are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Programs {
    /// Those that were built to be installed: `NAME`.
    Installed,
    /// Those that tests were built with: `NAME-under-test`. Beside them may lie older ones without that.
    UnderTest,
}

/// The project in `tree`, its programs in `folder`. One that wasn't built is missed where it is needed.
///
/// # Errors
/// Where the pages can't be made.
pub fn project(tree: PathBuf, folder: &Path, programs: Programs) -> Result<Project> {
    let mut built = std::collections::BTreeMap::new();
    for name in PROGRAMS {
        let path = match programs {
            Programs::Installed => folder.join(name),
            Programs::UnderTest => folder.join(format!("{}-under-test", name.replace('_', "-"))),
        };
        if is_built(&path) {
            built.insert(name.to_owned(), path);
        }
    }
    Ok(Project { tree, programs: built, generated: pages::all()? })
}

/// Writes the rpm for this machine's architecture; where it is.
///
/// # Errors
/// Where it can't be written.
pub fn rpm(project: &Project, into: &Path, environment: &Environment) -> Result<PathBuf> {
    Ok(project.rpm(std::env::consts::ARCH, date(project, environment)?, into)?)
}

fn date(project: &Project, environment: &Environment) -> Result<u64> {
    let date = environment.get_filled("SOURCE_DATE_EPOCH").map(str::parse).transpose();
    Ok(date.context("SOURCE_DATE_EPOCH")?.unwrap_or(project.release()?.date))
}

/// Writes the Debian packages for this machine's architecture; where they are.
///
/// # Errors
/// Where one can't be written.
pub fn debs(
    project: &Project,
    into: &Path,
    environment: &Environment,
    packing: Packing,
) -> Result<Vec<PathBuf>> {
    let release = project.release()?;
    let date = date(project, environment)?;
    let architecture = name::architecture(&Arch::new(std::env::consts::ARCH)?)?;
    let mut written = Vec::new();
    for package in DEBS {
        let path = into.join(format!("{package}_{}_{architecture}.deb", release.version));
        let mut deb = project.deb(package, architecture, date)?;
        deb.packing = packing;
        deb.write(&path)?;
        written.push(path);
    }
    Ok(written)
}

/// Writes pacman's package for this machine's architecture; where it is.
///
/// # Errors
/// Where it can't be written.
pub fn arch(project: &Project, into: &Path, environment: &Environment) -> Result<PathBuf> {
    let date = environment.get_filled("SOURCE_DATE_EPOCH").map(str::parse).transpose();
    let date = date.context("SOURCE_DATE_EPOCH")?.unwrap_or(project.release()?.date);
    let package = project.arch(std::env::consts::ARCH, date)?;
    let path = into.join(package.file_name());
    package.write(&path)?;
    Ok(path)
}

/// What a package installs, one name a line.
///
/// # Errors
/// Where the list can't be read.
pub fn dh_install(project: &Project, package: &str) -> Result<String> {
    let lines = project.lines("debian", Some(package))?;
    let files = lines.iter().filter(|line| !line.destination.starts_with("DEBIAN"));
    Ok(files.map(|line| format!("{}\n", line.destination.display())).collect())
}

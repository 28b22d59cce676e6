//! Installs this project and writes its packages: what the Makefile calls.
//!
//! - [`pages`]: manuals and completions, from the definitions of the command lines; [`roff`]:
//!   how manuals are written
//! - [`packages`]: finished packages

pub mod packages;
pub mod pages;
pub mod roff;

use std::path::PathBuf;

use anyhow::Result;
use clap::{Parser, Subcommand};
use dkms_base::host::{Environment, fs};

/// Installs this project and writes its packages.
#[derive(Debug, Parser)]
#[command(name = "dkms-release")]
struct Args {
    /// This project's tree
    #[arg(long, default_value = ".")]
    tree: PathBuf,
    /// The folder of the built programs
    #[arg(long, default_value = "target/release")]
    programs: PathBuf,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Install all that is for a kind of system (plain, debian, redhat, arch) below a folder
    Install {
        /// Only what is in this package
        #[arg(long)]
        package: Option<String>,
        /// The kind
        place: String,
        /// The folder
        below: PathBuf,
    },
    /// Write the Debian packages into a folder
    Debs {
        /// The folder
        into: PathBuf,
    },
    /// Write pacman's package into a folder
    Arch {
        /// The folder
        into: PathBuf,
    },
    /// Write the rpm into a folder
    Rpm {
        /// The folder
        into: PathBuf,
    },
    /// Print what the rpm has, as `%files` wants it
    RpmFiles,
    /// Write manuals and completions into a folder
    Pages {
        /// The folder
        into: PathBuf,
    },
    /// Print what a Debian package installs, as debhelper's dh_install wants it
    DhInstall {
        /// The package
        package: String,
    },
}

/// Runs the program; returns its exit code.
#[must_use]
pub fn main() -> std::process::ExitCode {
    match run(Args::parse()) {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            use std::io::Write as _;
            let _ = writeln!(std::io::stderr(), "dkms-release: {error:#}");
            std::process::ExitCode::FAILURE
        }
    }
}

fn run(args: Args) -> Result<()> {
    use std::io::Write as _;
    let environment = Environment::of_this_process();
    let project = packages::project(args.tree, &args.programs, packages::Programs::Installed)?;
    let mut out = std::io::stdout().lock();
    match args.what {
        What::Install { package, place, below } => project.install(&place, package.as_deref(), &below)?,
        What::Rpm { into } => writeln!(out, "{}", packages::rpm(&project, &into, &environment)?.display())?,
        What::RpmFiles => out.write_all(project.rpm_files()?.as_bytes())?,
        What::Debs { into } => {
            for path in packages::debs(&project, &into, &environment, packages::Packing::Xz)? {
                writeln!(out, "{}", path.display())?;
            }
        }
        What::Arch { into } => {
            writeln!(out, "{}", packages::arch(&project, &into, &environment)?.display())?;
        }
        What::Pages { into } => {
            for (name, text) in &project.generated {
                fs::write_whole(&into.join(name), text.as_bytes(), 0o644)?;
            }
        }
        What::DhInstall { package } => out.write_all(packages::dh_install(&project, &package)?.as_bytes())?,
    }
    Ok(())
}

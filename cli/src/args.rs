//! What was typed: the command line as words and options, nothing judged yet.

use std::path::PathBuf;

use clap::{ArgAction, Parser, ValueEnum};

/// Keeps out-of-tree kernel modules alive across kernel upgrades.
#[derive(Debug, Clone, Default, Parser)]
#[command(name = "dkms", disable_version_flag = true, disable_help_flag = true, args_override_self = true)]
#[command(override_usage = "dkms ACTION [M/V] [OPTIONS]")]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub struct Args {
    /// The action, then the module (`M` or `M/V`), a path to a dkms.conf or its folder, or an archive
    #[arg(value_name = "WORD")]
    pub words: Vec<String>,

    /// Module, with or without its version
    #[arg(short = 'm', long, value_name = "M[/V]", num_args = 0..=1, default_missing_value = "", allow_hyphen_values = true, overrides_with = "module")]
    pub module: Option<String>,
    /// Version
    #[arg(short = 'v', value_name = "V", num_args = 0..=1, default_missing_value = "", allow_hyphen_values = true, overrides_with = "version")]
    pub version: Option<String>,
    /// Kernel release; most actions take several
    #[arg(short = 'k', long = "kernelver", value_name = "K[/A]", num_args = 0..=1, default_missing_value = "")]
    pub kernels: Vec<String>,
    /// Architecture; most actions take several
    #[arg(short = 'a', long = "arch", value_name = "A", num_args = 0..=1, default_missing_value = "")]
    pub arches: Vec<String>,
    /// This dkms.conf instead of the source tree's
    #[arg(short = 'c', value_name = "FILE", overrides_with = "conf")]
    pub conf: Option<PathBuf>,
    /// Every kernel that the module is built for
    #[arg(long)]
    pub all: bool,
    /// Redo, overwrite, override version checks
    #[arg(long)]
    pub force: bool,
    /// Skip only the check against a newer module in the kernel
    #[arg(long)]
    pub force_version_override: bool,
    /// The kernel to match
    #[arg(long, value_name = "K", overrides_with = "templatekernel")]
    pub templatekernel: Option<String>,
    /// Override a directive of dkms.conf, may be repeated
    #[arg(long = "directive", value_name = "NAME=VALUE")]
    pub directives: Vec<String>,
    /// Kernel config to read
    #[arg(long, value_name = "FILE", overrides_with = "config")]
    pub config: Option<PathBuf>,
    /// Kernel headers
    #[arg(long, value_name = "DIR", overrides_with = "kernelsourcedir")]
    pub kernelsourcedir: Option<PathBuf>,
    /// Archive to read, or archive or package to write
    #[arg(long, value_name = "FILE", overrides_with = "archive")]
    pub archive: Option<PathBuf>,
    /// For mkbmdeb and mkrpm: also write a package that lets linux-image-FLAVOUR (kernel-FLAVOUR) be
    /// upgraded only together with the module
    #[arg(long, value_name = "FLAVOUR", overrides_with = "meta")]
    pub meta: Option<String>,
    /// For verify: build the modules of an archive of mktarball again, and compare
    #[arg(long)]
    pub rebuild: bool,
    /// For verify: load the installed modules in a virtual machine
    #[arg(long)]
    pub vm: bool,
    /// For kernels: list those for which the package manager offers headers
    #[arg(long)]
    pub available: bool,
    /// For kernels: only this kind (amd64, cloud-amd64, rt)
    #[arg(long, value_name = "F", overrides_with = "flavour")]
    pub flavour: Option<String>,
    /// For build: download headers that are not installed, and delete them after the build
    #[arg(long)]
    pub fetch_headers: bool,
    /// For plan: print what has to be built as jobs; for build: the file with them
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = "", overrides_with = "matrix")]
    pub matrix: Option<String>,
    /// For build --matrix: the number of the job [default: SLURM_ARRAY_TASK_ID or JOB_COMPLETION_INDEX]
    #[arg(long, value_name = "N", overrides_with = "job")]
    pub job: Option<usize>,
    /// For sign: the private key (PEM), or a token's URI [default: as framework.conf says]
    #[arg(long, value_name = "FILE", overrides_with = "key")]
    pub key: Option<PathBuf>,
    /// For sign: the key's certificate, in DER or PEM [default: beside the key]
    #[arg(long, value_name = "FILE", overrides_with = "certificate")]
    pub certificate: Option<PathBuf>,
    /// For mkkmp: this spec file instead of the source's M-kmp.spec
    #[arg(long, value_name = "FILE", overrides_with = "spec")]
    pub spec: Option<PathBuf>,
    /// For mkdriverdisk: whose installer reads it
    #[arg(short = 'd', long, value_name = "NAME", overrides_with = "distro")]
    pub distro: Option<Distro>,
    /// For mkdriverdisk -d suse: the product, as its installer calls it (15.6, sle15, tw)
    #[arg(short = 'r', long, value_name = "R", overrides_with = "release")]
    pub release: Option<String>,
    /// For mkdriverdisk: an image or an archive
    #[arg(long, value_name = "KIND", default_value = "iso", overrides_with = "media")]
    pub media: Media,
    /// For mktarball and mkdeb: no source
    #[arg(long)]
    pub binaries_only: bool,
    /// For mktarball and mkdeb: no built modules
    #[arg(long)]
    pub source_only: bool,
    /// State of the modules [default: /var/lib/dkms]
    #[arg(long, value_name = "DIR", overrides_with = "dkmstree")]
    pub dkmstree: Option<PathBuf>,
    /// Sources of the modules [default: /usr/src]
    #[arg(long, value_name = "DIR", overrides_with = "sourcetree")]
    pub sourcetree: Option<PathBuf>,
    /// The kernels' module folders [default: /lib/modules]
    #[arg(long, value_name = "DIR", overrides_with = "installtree")]
    pub installtree: Option<PathBuf>,
    /// Link into the kernel tree instead of copying
    #[arg(long)]
    pub symlink_modules: bool,
    /// Don't run depmod
    #[arg(long)]
    pub no_depmod: bool,
    /// Load matching modules after installing on the running kernel
    #[arg(long)]
    pub modprobe_on_install: bool,
    /// For rpm scriptlets: do not remove a module that the same rpm transaction has just added
    #[arg(long = "rpm_safe_upgrade")]
    pub rpm_safe_upgrade: bool,
    /// Parallel jobs; 0 is no limit [default: the number of CPUs]
    #[arg(short = 'j', value_name = "N", overrides_with = "jobs")]
    pub jobs: Option<u32>,
    /// Show external commands and their output
    #[arg(long)]
    pub verbose: bool,
    /// Show what is decided, and why
    #[arg(long)]
    pub debug: bool,
    /// Print nothing
    #[arg(short = 'q', long)]
    pub quiet: bool,
    /// Work on the system below this folder. All paths are inside it, with one exception: the source or
    /// archive to read is on this system if its path is relative, or if no such path exists inside
    #[arg(long, value_name = "DIR", overrides_with = "root")]
    pub root: Option<PathBuf>,
    /// Machine-readable output
    #[arg(long)]
    pub json: bool,
    /// Print what would be done, change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// For forecast: the kernel that the next upgrade installs; the default
    #[arg(long, conflicts_with = "kernels")]
    pub next: bool,
    /// For forecast: bring the package manager's lists up to date first, for this command only
    #[arg(long)]
    pub fetch: bool,
    /// For preflight: assume that the headers of these kernels are installed with them
    #[arg(long)]
    pub headers_coming: bool,
    /// For preflight: assume that these kernels are about to be installed
    #[arg(long)]
    pub kernel_coming: bool,
    /// For status: modules and kernels as a grid, with whether each kernel will load them
    #[arg(long)]
    pub grid: bool,
    /// For doctor: fix what can be fixed safely
    #[arg(long)]
    pub fix: bool,
    /// For bake: a module that may be missing; may be repeated
    #[arg(long, value_name = "M")]
    pub allow_missing: Vec<String>,
    /// For bake: keep the dkms tree in the image
    #[arg(long)]
    pub keep_tree: bool,
    /// For bake: the private key that signs; its path is on this system, not below `--root` [certificate:
    /// the same path with `.pub`]
    #[arg(long, value_name = "FILE", overrides_with = "mok_key")]
    pub mok_key: Option<PathBuf>,
    /// For --mok-key: its certificate, in DER or PEM
    #[arg(long, value_name = "FILE", requires = "mok_key", overrides_with = "mok_certificate")]
    pub mok_certificate: Option<PathBuf>,
    /// Whether output has colours
    #[arg(long, value_name = "WHEN", default_value = "auto", overrides_with = "color")]
    pub color: Color,
    /// Print the version
    #[arg(short = 'V', long = "version", action = ArgAction::SetTrue)]
    pub print_version: bool,
    /// Print this help
    #[arg(short = 'h', long = "help", action = ArgAction::SetTrue)]
    pub print_help: bool,

    /// For forecast: packages that have the headers
    #[arg(long = "headers-package", value_name = "FILE", hide = true)]
    pub headers_packages: Vec<PathBuf>,
    /// For forecast: only critical modules
    #[arg(long, hide = true)]
    pub only_critical: bool,
    /// For forecast: it is the process in the layer that belongs to this folder
    #[arg(long, value_name = "DIR", hide = true)]
    pub in_layer: Option<PathBuf>,
    /// For build: no setting exempts the module from the sandbox
    #[arg(long, hide = true)]
    pub exempt_nothing: bool,
    /// Deprecated: `remake_initrd=no` in framework.conf does the same
    #[arg(long, hide = true)]
    pub no_initrd: bool,
    /// Deprecated, without effect
    #[arg(long, hide = true)]
    pub no_clean_kernel: bool,
    /// Deprecated, without effect
    #[arg(long, hide = true)]
    pub no_prepare_kernel: bool,
}

/// Whose installer reads a disk of drivers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Distro {
    /// Anaconda: Fedora, RHEL and those made from it.
    Redhat,
    /// SUSE.
    Suse,
    /// Ubuntu.
    Ubuntu,
}

/// What a disk of drivers is written as.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Media {
    /// An image.
    #[default]
    Iso,
    /// A tar archive.
    Tar,
}

/// When to use colours.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Args, clap::Error> {
        Args::try_parse_from(std::iter::once("dkms").chain(line.split(' ')))
    }

    #[test]
    fn options_stand_anywhere() {
        for line in [
            "-k 6.1 install foo/1.0 --force",
            "install --force foo/1.0 --kernelver=6.1",
            "--force install -k 6.1 foo/1.0",
        ] {
            let args = parse(line).unwrap();
            assert_eq!(args.words, ["install", "foo/1.0"], "{line}");
            assert_eq!((args.kernels.as_slice(), args.force), (&["6.1".to_owned()][..], true), "{line}");
        }
    }

    #[test]
    fn a_value_may_be_empty_or_missing_at_the_end() {
        assert_eq!(parse("build -m foo -v").unwrap().version.as_deref(), Some(""));
        assert_eq!(parse("status -k").unwrap().kernels, [""]);
        assert_eq!(parse("build -k 6.1 -k 6.2 foo/1").unwrap().kernels, ["6.1", "6.2"]);
    }

    #[test]
    fn what_is_given_twice_counts_once_and_of_values_the_last() {
        let args = parse(
            "install --force --force -q --quiet -j 2 -j 1 -m a -m b --no-depmod --no-depmod -k 6.1 -k 6.2",
        )
        .unwrap();
        assert!(args.force && args.quiet && args.no_depmod);
        assert_eq!((args.jobs, args.module.as_deref()), (Some(1), Some("b")));
        assert_eq!(args.kernels, ["6.1", "6.2"]);
    }

    #[test]
    fn nothing_is_abbreviated() {
        assert!(parse("status --frob").is_err());
        assert!(parse("build --v 1.0").is_err());
        assert!(parse("build -x").is_err());
    }

    #[test]
    fn the_help_names_every_action() {
        use clap::CommandFactory;
        let help = Args::command().after_help(crate::help::overview()).render_help().to_string();
        for (name, _) in crate::action::Action::ALL {
            assert!(help.contains(name), "{name} is not in the help");
        }
    }

    #[test]
    fn the_definition_is_sound() {
        use clap::CommandFactory;
        Args::command().debug_assert();
    }
}

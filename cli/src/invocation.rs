//! What is meant: words and options sorted out, contradictions refused with their exit codes. Looks at the
//! disk only to tell a path from a module's name.

use std::path::PathBuf;

use dkms_base::exit::ExitCode;
use dkms_base::id::{Arch, KernelRelease, ModuleId, ModuleName, ModuleVersion};

use crate::action::Action;
use crate::args::Args;
use crate::failure::Failure;
use crate::help;

mod words;

pub use words::source_word;
use words::{Words, no_source};

/// A command line, understood.
#[derive(Debug, Clone)]
pub struct Invocation {
    /// What to do.
    pub action: Action,
    /// The module's name, where one was given.
    pub name: Option<ModuleName>,
    /// Its version, where one was given.
    pub version: Option<ModuleVersion>,
    /// Every module that was named, for actions that take several.
    pub modules: Vec<(ModuleName, Option<ModuleVersion>)>,
    /// Where a source tree or an archive was named instead, or besides.
    pub source: Option<SourceWord>,
    /// What an action works on that takes paths, in order.
    pub paths: Vec<PathBuf>,
    /// Where a folder is made, removed or looked at, whatever is in it.
    pub folder: Option<PathBuf>,
    /// `-k`, with the architecture that was given with it.
    pub kernels: Vec<(KernelRelease, Option<Arch>)>,
    /// `-a`.
    pub arches: Vec<Arch>,
    /// Words that nothing was made of, in order (completions take their shell from here).
    pub ignored: Vec<String>,
    /// The options, as they were typed.
    pub args: Args,
}

/// A path where a module could have been named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceWord {
    /// A folder with a dkms.conf.
    Folder(PathBuf),
    /// An archive.
    Archive(PathBuf),
    /// An rpm package.
    Rpm(PathBuf),
}

impl Invocation {
    /// Sorts out a command line.
    ///
    /// # Errors
    /// [`Failure`] for unknown or contradicting words and options.
    pub fn understand(mut args: Args) -> Result<Self, Failure> {
        let mut words = Words { takes_bundle: args.rebuild, ..Words::default() };
        for word in &args.words {
            words.take(word, args.module.is_some())?;
        }
        args.dry_run |= words.only_planned;
        // `plan --matrix M/V` names a module; a matrix is read by `build`.
        let named = args.matrix.clone().filter(|file| !file.is_empty() && words.action == Some(Action::Plan));
        if let Some(word) = named {
            words.module.get_or_insert(word);
        }
        let Some(action) = words.action else {
            let unknown = words.ignored.first().map_or_else(
                || Failure::new(ExitCode::BAD_OPTION, "no action is given"),
                |word| help::unknown(word),
            );
            if !unknown.hints.is_empty() {
                return Err(unknown.hint("`dkms --help` lists the actions"));
            }
            let names: Vec<_> = Action::ALL.iter().map(|(name, _)| *name).collect();
            let usage =
                format!("usage: dkms ACTION [M/V] [OPTIONS], where ACTION is one of {}", names.join(", "));
            return Err(unknown.hint(usage).hint("`dkms --help` says more"));
        };
        check_all(action, &args)?;
        let (name, version) = module_of(&args, words.module.as_deref())?;
        let mut modules: Vec<_> = name.iter().map(|name| (name.clone(), version.clone())).collect();
        for word in &words.more_modules {
            let (name, version) = module_named(word)?;
            modules.push((name, version));
        }
        let kernels = args.kernels.iter().map(|text| kernel(text, action)).collect::<Result<Vec<_>, _>>()?;
        let kernels: Vec<_> = kernels.into_iter().flatten().collect();
        let arches = args.arches.iter().map(|text| arch(text, action)).collect::<Result<Vec<_>, _>>()?;
        let mut arches: Vec<_> = arches.into_iter().flatten().collect();
        if arches.iter().all(|arch| Some(arch) == arches.first()) {
            arches.truncate(1);
        }
        check_kernels(action, &kernels, &arches)?;
        let source = words
            .source
            .or_else(|| args.archive.clone().filter(|_| !action.writes_archive()).map(SourceWord::Archive));
        let Words { folder, paths, ignored, .. } = words;
        if action.needs_module() && name.is_none() && source.is_none() {
            // A path that would have been the source.
            if let Some(path) = ignored.iter().find(|word| word.starts_with('/')) {
                return Err(no_source(path));
            }
        }
        if action.judges() && !args.rebuild {
            check_judged(action, &paths, &modules, source.as_ref(), &ignored)?;
        }
        Ok(Self { action, name, version, modules, source, paths, folder, kernels, arches, ignored, args })
    }

    /// The one module that the action is about.
    ///
    /// # Errors
    /// [`Failure`] with code 1 where name or version is missing.
    pub fn module(&self) -> Result<ModuleId, Failure> {
        match (&self.name, &self.version) {
            (Some(name), Some(version)) => Ok(ModuleId::new(name.clone(), version.clone())),
            (Some(name), None) => Err(Failure::new(
                ExitCode::USAGE_OR_RIGHTS,
                format!("no version of module `{name}` is given"),
            )
            .hint(match self.action {
                Action::Mktree => format!("choose one: `dkms mktree {name}/1.0`"),
                action => format!(
                    "dkms {} {name}/VERSION; `dkms status {name}` lists those in the tree",
                    action.name()
                ),
            })),
            _ => Err(Failure::new(ExitCode::USAGE_OR_RIGHTS, "no module is named")
                .hint(format!("dkms {} MODULE/VERSION", self.action.name()))),
        }
    }
}

/// The exit code of such an action is a judgement: nothing that it was given is left out of it.
fn check_judged(
    action: Action,
    paths: &[PathBuf],
    modules: &[(ModuleName, Option<ModuleVersion>)],
    source: Option<&SourceWord>,
    ignored: &[String],
) -> Result<(), Failure> {
    let refused = |text: String| {
        let failure = Failure::new(ExitCode::BAD_OPTION, text);
        Err(failure.hint(format!("`dkms help {}` shows what it takes", action.name())))
    };
    if let Some(word) = ignored.first() {
        return refused(format!(
            "`{word}` is neither a module nor anything else that `dkms {}` takes",
            action.name()
        ));
    }
    if let Some(SourceWord::Folder(path) | SourceWord::Archive(path) | SourceWord::Rpm(path)) = source {
        return refused(format!("`dkms {}` does not take `{}`", action.name(), path.display()));
    }
    if let (Some(path), Some((name, _))) = (paths.first(), modules.first()) {
        return refused(format!("`{}` is a path and `{name}` a module: one kind at a time", path.display()));
    }
    Ok(())
}

fn check_all(action: Action, args: &Args) -> Result<(), Failure> {
    // To `log` it means all builds, not all kernels.
    if !args.all || action == Action::Log {
        return Ok(());
    }
    let conflict = |code, text: String| Err(Failure::new(code, text));
    if !args.kernels.is_empty() {
        return conflict(ExitCode::BAD_OPTION, "`-k` and `--all` contradict each other".to_owned());
    }
    if !args.arches.is_empty() {
        return conflict(ExitCode::NOT_IN_TREE, "`-a` and `--all` contradict each other".to_owned());
    }
    if !action.takes_all() {
        return conflict(ExitCode::NOT_ALLOWED, format!("`{}` does not take `--all`", action.name()));
    }
    Ok(())
}

fn check_kernels(
    action: Action,
    kernels: &[(KernelRelease, Option<Arch>)],
    arches: &[Arch],
) -> Result<(), Failure> {
    if action.is_kernel_hook() && kernels.len() != 1 {
        return Err(Failure::new(ExitCode::BROKEN, format!("`{}` needs exactly one `-k`", action.name())));
    }
    if action.is_for_one_kernel() && kernels.len() > 1 {
        return Err(Failure::new(
            ExitCode::BROKEN,
            format!("`{}` works on one kernel at a time", action.name()),
        ));
    }
    if arches.len() > 1 && arches.len() != kernels.len() {
        return Err(Failure::new(
            ExitCode::USAGE_OR_RIGHTS,
            format!("{} architectures do not match {} kernels", arches.len(), kernels.len()),
        )
        .hint("give one `-a` for all, or one for each `-k`, in their order"));
    }
    Ok(())
}

/// Name and version, from `-m`, `-v` and the bare word.
fn module_of(
    args: &Args,
    word: Option<&str>,
) -> Result<(Option<ModuleName>, Option<ModuleVersion>), Failure> {
    // What completion of file names leaves behind is no part of a name.
    let given = args.module.as_deref().or(word).map(|text| text.trim_end_matches('/'));
    let given = given.filter(|text| !text.is_empty());
    let (name, version) =
        match given.map(|text| text.split_once('/').map_or((text, None), |(m, v)| (m, Some(v)))) {
            None => (None, None),
            Some((name, version)) => (Some(name), version),
        };
    let version = version.or(args.version.as_deref()).filter(|text| !text.is_empty());
    Ok((name.map(ModuleName::new).transpose()?, version.map(ModuleVersion::new).transpose()?))
}

/// Name and version of a further module.
fn module_named(word: &str) -> Result<(ModuleName, Option<ModuleVersion>), Failure> {
    let word = word.trim_end_matches('/');
    let (name, version) = word.split_once('/').map_or((word, None), |(name, version)| (name, Some(version)));
    Ok((ModuleName::new(name)?, version.map(ModuleVersion::new).transpose()?))
}

/// A `-k`; empty means no filter to `status` and is an error to the rest.
fn kernel(text: &str, action: Action) -> Result<Option<(KernelRelease, Option<Arch>)>, Failure> {
    if text.is_empty() && action == Action::Status {
        return Ok(None);
    }
    let (release, arch_text) = text.split_once('/').map_or((text, None), |(k, a)| (k, Some(a)));
    if release.is_empty() {
        return Err(Failure::new(ExitCode::EMPTY_TARGET, "`-k` names no kernel"));
    }
    let arch = arch_text.map(|text| arch(text, action)).transpose()?.flatten();
    Ok(Some((KernelRelease::new(release)?, arch)))
}

/// A `-a`, or what follows the slash of a `-k`: empty is no filter to `status` and an error to the rest.
fn arch(text: &str, action: Action) -> Result<Option<Arch>, Failure> {
    match text {
        "" if action == Action::Status => Ok(None),
        "" => Err(Failure::new(ExitCode::EMPTY_TARGET, "an architecture is empty")),
        text => Ok(Some(Arch::new(text)?)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use dkms_base::host::fs;

    fn understand(line: &str) -> Result<Invocation, Failure> {
        let args = Args::try_parse_from(std::iter::once("dkms").chain(line.split_whitespace())).unwrap();
        Invocation::understand(args)
    }

    fn code(line: &str) -> u8 {
        understand(line).map_or_else(|failure| failure.code.0, |_| 0)
    }

    #[test]
    fn status_is_a_word_of_boot() {
        let found = understand("boot status").unwrap();
        assert_eq!((found.action, found.name.unwrap().as_str()), (Action::Boot, "status"));
        assert_eq!(code("status boot"), 4);
    }

    #[test]
    fn what_is_to_be_judged_is_never_left_out() {
        let paths = |line: &str| understand(line).map(|found| found.paths).unwrap_or_default();
        assert_eq!(paths("verify /srv/none ./out"), ["/srv/none", "./out"].map(PathBuf::from));
        for line in [
            "verify foo/1 /srv/none",
            "verify /srv/none foo/1",
            "verify --archive x.tar",
            "verify a/b/c/d",
            "preflight a/b/c/d",
            "forecast /srv/none",
        ] {
            assert!(code(line) > 0, "{line}");
        }
    }

    #[test]
    fn contradictions_have_their_codes() {
        for (line, expected) in [
            ("", 2),
            ("frobnicate", 2),
            ("add install", 4),
            ("install plan", 4),
            ("plan plan", 4),
            ("plan install remove", 4),
            ("plan build foo/1 --all", 5),
            ("remove foo/1 -k 6.1 --all", 2),
            ("remove foo/1 -a x86_64 --all", 3),
            ("build foo/1 --all", 5),
            ("kernel_prerm", 4),
            ("kernel_postinst -k 6.1 -k 6.2", 4),
            ("autoinstall -k 6.1 -k 6.2", 4),
            ("build foo/1 -k 6.1 -a x86_64 -a i686", 1),
            ("build foo/1 -k /x86_64", 16),
            ("build foo/1 -k 6.1/", 16),
            ("build foo/1 -k 6.1 --arch=", 16),
            ("status -k /x86_64", 16),
            ("status --arch=", 0),
            ("status -k 6.1/", 0),
            ("build ../../etc/1.0", 2),
            ("build .foo/1.0", 8),
            ("build foo/..", 8),
            ("status --all", 0),
            ("build foo/1 -k 6.1 -k 6.2 -a x86_64", 0),
        ] {
            assert_eq!(code(line), expected, "dkms {line}");
        }
    }

    #[test]
    fn misspelt_words_are_told_what_was_meant() {
        for (word, meant) in [
            ("instal", "install"),
            ("isntall", "install"),
            ("udninstall", "uninstall"),
            ("buidl", "build"),
            ("bulid", "build"),
        ] {
            let failure = understand(&format!("{word} foo/1")).unwrap_err();
            assert_eq!(
                failure.hints,
                [format!("Did you mean `{meant}`?"), "`dkms --help` lists the actions".to_owned()]
            );
        }
        assert!(!understand("frobnicate").unwrap_err().hints[0].contains("Did you mean"));
        let error = Args::try_parse_from(["dkms", "install", "--forec"]).unwrap_err();
        let failure = Failure::of_command_line(&error);
        assert!(failure.hints[0].contains("`--force`"), "{failure:?}");
    }

    #[test]
    fn modules_are_named_in_every_way() {
        for line in [
            "build foo/1.0",
            "build -m foo/1.0",
            "build -m foo -v 1.0",
            "build foo -v 1.0",
            "-m foo build -v 1.0",
            "build -m foo/1.0/",
            "build foo/ -v 1.0",
        ] {
            let module = understand(line).unwrap().module();
            assert_eq!(module.map(|id| id.to_string()).ok().as_deref(), Some("foo/1.0"), "dkms {line}");
        }
        assert_eq!(understand("build foo").unwrap().module().unwrap_err().code, ExitCode::USAGE_OR_RIGHTS);
        let several = understand("bake foo/1.0 bar").unwrap().modules;
        let shown = several
            .iter()
            .map(|(name, version)| (name.as_str(), version.as_ref().map(ModuleVersion::as_str)));
        assert_eq!(shown.collect::<Vec<_>>(), [("foo", Some("1.0")), ("bar", None)]);
        assert_eq!(understand("add foo/1.0 bar/2.0").unwrap().ignored, ["bar/2.0"]);
    }

    #[test]
    fn a_word_that_means_nothing_is_ignored_and_not_dropped() {
        for line in ["doctor foo", "autoinstall foo/1.0", "kernels foo", "generate_mok foo"] {
            assert_eq!(understand(line).unwrap().ignored.len(), 1, "{line}");
        }
        for line in ["status foo", "log foo", "install foo/1.0", "match foo --templatekernel 6.1"] {
            assert_eq!(understand(line).unwrap().ignored, [""; 0], "{line}");
        }
        let new = understand("mktree foo").unwrap().module().unwrap_err();
        assert_eq!(new.hints, ["choose one: `dkms mktree foo/1.0`"]);
    }

    #[test]
    fn plan_makes_the_second_word_the_action_that_is_planned() {
        let planned = understand("plan install foo/1.0 -k 6.1").unwrap();
        assert_eq!((planned.action, planned.args.dry_run), (Action::Install, true));
        let alone = understand("plan -k 6.1 -k 6.2").unwrap();
        assert_eq!((alone.action, alone.args.dry_run), (Action::Plan, true));
        assert!(!understand("install foo/1.0").unwrap().args.dry_run);
    }

    #[test]
    fn paths_come_before_modules() {
        let dir = tempfile::tempdir().unwrap();
        let conf = dir.path().join("dkms.conf");
        fs::write_whole(&conf, b"", 0o644).unwrap();
        let folder = Some(SourceWord::Folder(dir.path().to_owned()));
        assert_eq!(understand(&format!("add {}", dir.path().display())).unwrap().source, folder);
        assert_eq!(understand(&format!("add {}", conf.display())).unwrap().source, folder);
        let failure = understand("add /nonexist").unwrap_err();
        assert_eq!((failure.code.0, failure.message.as_str()), (1, "`/nonexist` does not exist"));
        let failure = understand("add ./nonexist").unwrap_err();
        assert_eq!((failure.code.0, failure.message.as_str()), (2, "`./nonexist` does not exist"));
        assert_eq!(understand("add foo/1.0 /nonexist").unwrap().ignored, ["/nonexist"]);
    }
}

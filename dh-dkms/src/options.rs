//! The ways that options come to a program of debhelper, and the packages that they mean.
//!
//! `dh` passes those of its own command line in `DH_INTERNAL_OPTIONS` (packages there only narrow what is
//! acted on), a maintainer his own in `DH_OPTIONS` (unknown ones are warned of), and the command line has the
//! rest. `-O--option` is for options that others know.

use std::path::Path;

use clap::{CommandFactory, FromArgMatches};
use dkms_base::host::{Environment, fs};

use crate::args::Args;
use crate::control::{Compat, Control};
use crate::error::Error;
use crate::host::Host;
use crate::messages::Messages;

/// Between options in `DH_INTERNAL_OPTIONS`.
const SEPARATOR: char = '\u{1e}';
/// Up to this level long options can be abbreviated.
const ABBREVIATES: u32 = 12;
/// From this level on `-s` is gone.
const WITHOUT_S: u32 = 12;

/// All options together.
#[derive(Debug)]
pub struct Options {
    /// As one command line would give them; its packages are those that count.
    pub args: Args,
    /// What `dh` acts on, if anything.
    narrowed: Option<Choice>,
    /// The profiles that are built with.
    profiles: Vec<String>,
}

/// Packages that options name.
#[derive(Debug, Clone, Default)]
struct Choice {
    packages: Vec<String>,
    indep: bool,
    arch: bool,
}

impl Choice {
    fn of(args: &Args) -> Option<Self> {
        let Args { packages, indep, arch, same_arch, .. } = args;
        let choice = Self { packages: packages.clone(), indep: *indep, arch: *arch || *same_arch };
        let names_any = choice.indep || choice.arch || !choice.packages.is_empty();
        names_any.then_some(choice)
    }
}

/// The packages to act on.
#[derive(Debug, PartialEq, Eq)]
pub enum Wanted {
    /// These.
    These(Vec<String>),
    /// None of those that are built, and why.
    None(String),
}

/// The error if there is no `debian/control`; `--help` needs none.
pub fn without_control(argv: &[String]) -> Error {
    match argv.iter().any(|word| word == "--help" || word == "-h") {
        true => usage(),
        false => Error::NoControl,
    }
}

fn usage() -> Error {
    Error::Usage(Args::command().render_help().to_string())
}

impl Options {
    /// Takes them from wherever they are.
    ///
    /// # Errors
    /// [`Error::Options`], [`Error::Usage`], [`Error::UnknownPackage`].
    pub fn understand(
        argv: &[String],
        environment: &Environment,
        control: &Control,
        compat: Compat,
        messages: &Messages,
    ) -> Result<Self, Error> {
        let inner: Vec<String> = environment
            .get_filled("DH_INTERNAL_OPTIONS")
            .map(|text| text.split(SEPARATOR).map(str::to_owned).collect())
            .unwrap_or_default();
        let inner = known(expand(inner, compat), compat);
        let own: Vec<String> = environment
            .get_filled("DH_OPTIONS")
            .map(|text| text.split_whitespace().map(str::to_owned).collect())
            .unwrap_or_default();
        let own = expand(own, compat);
        let taken = known(own.clone(), compat);
        if taken.len() < own.len() {
            messages.warn("unknown options in DH_OPTIONS are ignored");
        }
        let outer: Vec<String> = taken.into_iter().chain(expand(argv.to_vec(), compat)).collect();
        let narrowed = Choice::of(&parse(&inner, compat)?);
        let outer_args = parse(&outer, compat)?;
        let mut args = parse(&[inner, outer].concat(), compat)?;
        args.packages = outer_args.packages;
        (args.indep, args.arch, args.same_arch) = (outer_args.indep, outer_args.arch, outer_args.same_arch);
        if args.help {
            return Err(usage());
        }
        if args.same_arch && compat.0 >= WITHOUT_S {
            return Err(Error::Options("`-s` is gone, use `-a`".to_owned()));
        }
        if args.files.len() > 1 {
            return Err(Error::Files { count: args.files.len(), names: args.files.join(", ") });
        }
        let named = args.packages.iter().chain(&args.no_packages).chain(&args.mainpackage);
        for name in named {
            if !control.packages.iter().any(|package| package.name == *name) {
                let known: Vec<&str> = control.packages.iter().map(|package| package.name.as_str()).collect();
                return Err(Error::UnknownPackage { name: name.clone(), known: known.join(", ") });
            }
        }
        let profiles = environment.get("DEB_BUILD_PROFILES").unwrap_or_default();
        let profiles = profiles.split_whitespace().map(str::to_owned).collect();
        Ok(Self { args, narrowed, profiles })
    }

    /// The packages that are meant, in the order of `debian/control`.
    ///
    /// # Errors
    /// Where the architecture can't be asked for.
    pub fn wanted(&self, control: &Control, host: &Host<'_>) -> Result<Wanted, Error> {
        let (mut built, mut indep, mut dependent) = (Vec::new(), Vec::new(), Vec::new());
        for package in &control.packages {
            if !package.is_in(&self.profiles) {
                continue;
            }
            if package.architecture == "all" {
                indep.push(package.name.as_str());
            } else if host.is_any(&package.architecture)? {
                dependent.push(package.name.as_str());
            } else {
                continue;
            }
            built.push(package.name.as_str());
        }
        let of = |choice: &Choice| -> Vec<&str> {
            let is_named = |name: &&&str| {
                choice.packages.iter().any(|package| package == **name)
                    || choice.indep && indep.contains(*name)
                    || choice.arch && dependent.contains(*name)
            };
            built.iter().filter(is_named).copied().collect()
        };
        let mut wanted = match Choice::of(&self.args) {
            None => built.clone(),
            Some(choice) => of(&choice),
        };
        if wanted.is_empty() && !built.is_empty() {
            return Ok(Wanted::None("nothing to do: no package that was asked for is built here".to_owned()));
        }
        let narrowed = self.narrowed.as_ref().map(of);
        wanted.retain(|name| narrowed.as_ref().is_none_or(|only| only.contains(name)));
        wanted.retain(|name| !self.args.no_packages.iter().any(|excluded| excluded == name));
        if self.args.remaining_packages {
            wanted.retain(|name| !was_acted_on(name));
        }
        if wanted.is_empty() {
            return Ok(Wanted::None("nothing to do: no package is left to act on".to_owned()));
        }
        Ok(Wanted::These(wanted.into_iter().map(str::to_owned).collect()))
    }
}

/// The file in which debhelper's programs note that they acted on a package.
pub(crate) fn log_of(package: &str) -> String {
    format!("debian/{package}.debhelper.log")
}

fn was_acted_on(package: &str) -> bool {
    let log = fs::read_lossy(Path::new(&log_of(package))).unwrap_or_default();
    log.lines().any(|line| line == "dh_dkms")
}

/// With `-O--option` replaced by the option where it is one of ours, and left out otherwise.
/// What follows `--` stays.
fn expand(words: Vec<String>, compat: Compat) -> Vec<String> {
    let (mut out, mut words) = (Vec::new(), words.into_iter());
    while let Some(word) = words.next() {
        if word == "--" {
            out.push(word);
            out.extend(words);
            break;
        }
        let Some(rest) = word.strip_prefix("-O") else {
            out.push(word);
            continue;
        };
        let option = if rest.is_empty() { words.next().unwrap_or_default() } else { rest.to_owned() };
        if option.starts_with('-') && parse(std::slice::from_ref(&option), compat).is_ok() {
            out.push(option);
        }
    }
    out
}

/// All of them where all are understood, otherwise those that are by themselves.
fn known(words: Vec<String>, compat: Compat) -> Vec<String> {
    if parse(&words, compat).is_ok() {
        return words;
    }
    words.into_iter().filter(|word| parse(std::slice::from_ref(word), compat).is_ok()).collect()
}

fn parse(words: &[String], compat: Compat) -> Result<Args, Error> {
    let command = Args::command().infer_long_args(compat.0 <= ABBREVIATES);
    let words = std::iter::once("dh_dkms").chain(words.iter().map(String::as_str));
    let fault = |error: clap::Error| {
        let text = error.to_string();
        let line = text.lines().next().unwrap_or_default();
        Error::Options(line.trim_start_matches("error: ").to_owned())
    };
    let matches = command.try_get_matches_from(words).map_err(fault)?;
    Args::from_arg_matches(&matches).map_err(fault)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONTROL: &str = "Source: src\n\nPackage: one\nArchitecture: all\n\nPackage: two\nArchitecture: any\n\n\
                           Package: three\nArchitecture: alpha\n\nPackage: four\nArchitecture: all\nBuild-Profiles: <!small>\n";

    fn wanted(argv: &[&str], variables: &[(&str, &str)]) -> Result<Wanted, Error> {
        let mut environment: Environment = variables.iter().copied().collect();
        environment.set("DEB_HOST_ARCH", "amd64");
        let control = Control::parse(CONTROL).unwrap();
        let argv: Vec<String> = argv.iter().map(|word| (*word).to_owned()).collect();
        let options = Options::understand(&argv, &environment, &control, Compat(13), &Messages::default())?;
        options.wanted(&control, &Host::new(&environment))
    }

    #[test]
    fn help_needs_no_source_package() {
        let said = |words: &[&str]| {
            without_control(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>()).to_string()
        };
        for word in ["--help", "-h"] {
            assert!(said(&[word]).contains("Usage: dh_dkms"), "{}", said(&[word]));
        }
        assert_eq!(said(&["-v"]), "there is no `debian/control` here");
    }

    #[test]
    fn packages_are_those_that_debhelper_would_act_on() {
        let these = |argv: &[&str], variables: &[(&str, &str)]| match wanted(argv, variables).unwrap() {
            Wanted::These(names) => names.join(" "),
            Wanted::None(_) => String::new(),
        };
        for (argv, names) in [
            (&[] as &[&str], "one two four"),
            (&["-i"], "one four"),
            (&["-a"], "two"),
            (&["-pfour", "-ptwo"], "two four"),
            (&["--package=one", "--arch"], "one two"),
            (&["-Ntwo"], "one four"),
            (&["-pthree"], ""),
            (&["-pone", "-None"], ""),
            (&["-O--buildsystem=x", "-O", "-v", "-O-i"], "one four"),
            (&["-nodXa"], "one two four"),
        ] {
            assert_eq!(these(argv, &[]), names, "{argv:?}");
        }
        let inner = |text: &'static str| [("DH_INTERNAL_OPTIONS", text)];
        assert_eq!(these(&[], &inner("-i\u{1e}-O--parallel")), "one four");
        assert_eq!(these(&["-pone"], &inner("-i")), "one");
        assert_eq!(these(&["-ptwo"], &inner("-i")), "");
        assert_eq!(these(&[], &inner("-pone\u{1e}--bogus")), "one");
        assert_eq!(these(&[], &[("DH_OPTIONS", "-i --bogus")]), "one four");
        assert_eq!(these(&[], &[("DEB_BUILD_PROFILES", "small nocheck")]), "one two");
    }

    #[test]
    fn what_is_not_understood_is_an_error() {
        for argv in [&["--bogus"] as &[&str], &["-pnone"], &["-Nnone"], &["-s"], &["a", "b"], &["--verb"]] {
            assert!(wanted(argv, &[]).is_err(), "{argv:?}");
        }
        assert!(matches!(wanted(&["-h"], &[]), Err(Error::Usage(_))));
    }

    #[test]
    fn a_version_may_be_left_out() {
        let of = |words: &[&str]| {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            parse(&words, Compat(13)).unwrap().module_version
        };
        assert_eq!(of(&[]), None);
        assert_eq!(of(&["-V"]), Some(String::new()));
        assert_eq!(of(&["-V", "-v"]), Some(String::new()));
        assert_eq!(of(&["-V1.0"]), Some("1.0".to_owned()));
        assert_eq!(of(&["-V", "1.0"]), Some("1.0".to_owned()));
    }
}

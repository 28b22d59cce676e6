//! The shell commands of a dkms.conf: its script directives, and the shell that they and MAKE run in.
//!
//! Knows where a script is looked for, what it sees and how it is called; not when it is its turn, nor
//! what a failure means.

use std::path::{Component, Path, PathBuf};

use crate::{ModuleConf, trust};
use dkms_base::host::process::{Process, ProcessError, quote};
use dkms_base::host::trusted::Fault;
use dkms_base::host::{Environment, fs};
use dkms_base::id::{ModuleId, ModuleName, Target};
use dkms_base::layout::Layout;
use dkms_base::report::{Event, Reporter};

/// A script directive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hook {
    /// `POST_ADD`, in the source folder.
    PostAdd,
    /// `PRE_BUILD`, in the build folder.
    PreBuild,
    /// `POST_BUILD`, in the build folder.
    PostBuild,
    /// `PRE_INSTALL`, in the source folder.
    PreInstall,
    /// `POST_INSTALL`, in the source folder.
    PostInstall,
    /// `POST_REMOVE`, in the source folder.
    PostRemove,
}

impl Hook {
    /// The directive's name.
    #[must_use]
    pub fn directive(self) -> &'static str {
        match self {
            Self::PostAdd => "POST_ADD",
            Self::PreBuild => "PRE_BUILD",
            Self::PostBuild => "POST_BUILD",
            Self::PreInstall => "PRE_INSTALL",
            Self::PostInstall => "POST_INSTALL",
            Self::PostRemove => "POST_REMOVE",
        }
    }

    /// The directive's value in a conf, where it has one.
    #[must_use]
    pub fn value(self, conf: &ModuleConf) -> Option<&str> {
        let scripts = &conf.scripts;
        let value = match self {
            Self::PostAdd => &scripts.post_add,
            Self::PreBuild => &scripts.pre_build,
            Self::PostBuild => &scripts.post_build,
            Self::PreInstall => &scripts.pre_install,
            Self::PostInstall => &scripts.post_install,
            Self::PostRemove => &scripts.post_remove,
        };
        value.as_deref().filter(|value| !value.trim().is_empty())
    }
}

/// What runs the commands of confs.
const SHELL: &str = "/bin/bash";

/// The shell that runs a conf's commands, and its arguments.
///
/// Commands are bash's, because a dkms.conf is. Scripts and make see the caller's environment and, where
/// there is a target, `kernelver`, `arch`, `module` and `module_version`. The command line itself may besides
/// use `dkms_tree`, `source_tree`, `install_tree` and `kernel_source_dir`, which are not exported: a Makefile
/// that has a variable of that name keeps its own.
#[derive(Debug, Clone, Copy)]
pub struct Shell<'a> {
    /// The three trees.
    pub layout: &'a Layout,
    /// Whose conf it is.
    pub id: &'a ModuleId,
    /// For which kernel; `None` for `POST_ADD` and `POST_REMOVE`, which the 3.x line tells nothing.
    pub target: Option<&'a Target>,
    /// `kernel_source_dir`, where one is known.
    pub headers: Option<&'a Path>,
    /// What is passed on.
    pub environment: &'a Environment,
}

/// What every program that works on a module for a kernel sees in its environment.
#[must_use]
pub fn variables<'a>(id: &'a ModuleId, target: &'a Target) -> [(&'static str, &'a str); 4] {
    [
        ("kernelver", target.kernel.as_str()),
        ("arch", target.arch.as_str()),
        ("module", id.name.as_str()),
        ("module_version", id.version.as_str()),
    ]
}

impl Shell<'_> {
    /// A command line of a conf, to be run in a folder.
    #[must_use]
    pub fn process(&self, line: &str, dir: &Path) -> Process {
        let mut environment = self.environment.clone();
        environment.unset("OLDPWD");
        // So that `pwd` prints the path that we know, not the one that its links lead to.
        environment.set("PWD", dir.to_string_lossy());
        if let Some(target) = self.target {
            for (name, value) in variables(self.id, target) {
                environment.set(name, value);
            }
        }
        let mut text = String::new();
        let layout = self.layout;
        let trees = [
            ("dkms_tree", Some(layout.dkms_tree.as_path())),
            ("source_tree", Some(&layout.source_tree)),
            ("install_tree", Some(&layout.install_tree)),
            ("kernel_source_dir", self.headers),
        ];
        for (name, path) in trees {
            if let Some(path) = path {
                text.push_str(&format!("{name}={}\n", quote(&path.to_string_lossy())));
            }
        }
        text.push_str(line);
        Process::new(SHELL, ["-c", text.as_str()], &environment).dir(dir)
    }
}

/// The error of a command that [`Shell::process`] made, naming the line as the conf has it.
#[must_use]
pub fn naming_line(error: ProcessError, line: &str) -> ProcessError {
    let line = line.to_owned();
    match error {
        // It is the shell that was started.
        ProcessError::Start { source, .. } if !fs::exists(Path::new(SHELL)) => {
            ProcessError::Start { line: format!("{SHELL} -c {line}"), source }
        }
        ProcessError::Start { source, .. } => ProcessError::Start { line, source },
        ProcessError::Interrupted { .. } => ProcessError::Interrupted { line },
        ProcessError::TimedOut { seconds, .. } => ProcessError::TimedOut { line, seconds },
        ProcessError::TooMuchOutput { mebibytes, .. } => ProcessError::TooMuchOutput { line, mebibytes },
        ProcessError::Refused { missing, .. } => ProcessError::Refused { line, missing },
    }
}

/// A script that a directive names, as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The file.
    pub path: PathBuf,
    /// The file as the directive names it, below the folder of the module's source.
    pub relative: PathBuf,
    /// The folder that it runs in.
    pub dir: PathBuf,
    /// The command: the file with the directive's arguments, for a shell.
    pub line: String,
    /// Whether it can be run.
    pub runnable: bool,
    /// Whether it lies in `/etc/dkms/M`.
    pub is_override: bool,
    /// Whether its path leads out of the folder.
    pub is_outside: bool,
}

/// Looks for the script that `value` names: in `/etc/dkms/M`, then in `dir`.
///
/// The first word is always a path relative to that folder; what follows is the shell's.
#[must_use]
pub fn find(layout: &Layout, name: &ModuleName, value: &str, dir: &Path) -> Found {
    find_seen(layout, name, value, dir, dir)
}

/// As [`find`], for a script that sees the folder `dir` under the path `seen`.
#[must_use]
pub fn find_seen(layout: &Layout, name: &ModuleName, value: &str, dir: &Path, seen: &Path) -> Found {
    let value = value.trim();
    let (script, arguments) = value.split_once(char::is_whitespace).unwrap_or((value, ""));
    let overrides = layout.etc_dkms().join(name);
    let relative = script.trim_start_matches('/');
    let is_override = fs::is_file(&overrides.join(relative));
    let (dir, seen) = if is_override { (&*overrides, &*overrides) } else { (dir, seen) };
    let line = format!("{} {arguments}", quote(&seen.join(relative).to_string_lossy())).trim_end().to_owned();
    let is_outside = leads_out(Path::new(relative));
    // What leads out is looked for from where the script's folder seems to be.
    let path = if is_outside { seen.join(relative) } else { dir.join(relative) };
    let runnable = fs::is_executable(&path);
    Found { runnable, dir: seen.to_owned(), path, relative: relative.into(), line, is_override, is_outside }
}

/// Whether a relative path leaves the folder that it begins in, by its text alone.
fn leads_out(path: &Path) -> bool {
    let mut depth = 0_usize;
    !path.components().all(|part| match part {
        Component::ParentDir => depth.checked_sub(1).map(|less| depth = less).is_some(),
        Component::Normal(_) => {
            depth += 1;
            true
        }
        _ => true,
    })
}

/// Whether a conf of `/etc/dkms` sets a directive of this module for this kernel: what it names
/// is the admin's then.
#[must_use]
pub fn is_set_by_admin(layout: &Layout, id: &ModuleId, target: &Target, hook: Hook) -> bool {
    let sets = |line: &str| {
        let line = line.trim_start();
        let rest = line.strip_prefix("export ").unwrap_or(line).trim_start().strip_prefix(hook.directive());
        rest.is_some_and(|rest| rest.starts_with(['=', '+', '[']))
    };
    let is_text_that_sets = |path: &PathBuf| {
        fs::read_limited(path, 1 << 20).is_ok_and(|bytes| String::from_utf8_lossy(&bytes).lines().any(sets))
    };
    layout.conf_overrides(id, target).iter().any(is_text_that_sets)
}

/// The exit code that shells give to what may not be run.
const NOT_RUN: i32 = 126;

impl Found {
    /// Who else decides what root would run: by the script, or by the dkms.conf of the folder that names it.
    fn fault(&self, dir: &Path) -> Option<Fault> {
        trust::fault(&self.path).or_else(|| trust::fault(&dir.join("dkms.conf")))
    }

    /// The warning for a script that can't be run. It names the script in the module's source: a build
    /// folder is gone when a user reads of it.
    #[must_use]
    pub fn warning(&self, hook: Hook, id: &ModuleId, layout: &Layout) -> Event {
        let source = layout.source_link(id);
        let source = fs::canonical(&source).unwrap_or(source);
        let is_own = !self.is_override && !self.is_outside;
        let path = if is_own { source.join(&self.relative) } else { self.path.clone() };
        let (directive, path) = (hook.directive(), path.display());
        if fs::exists(&self.path) {
            let hint = format!("make it executable: `chmod +x {path}`");
            Event::warning(
                format!("the {directive} script `{path}` of {id} is not executable, skipped"),
                [hint],
            )
        } else {
            let hint = format!("put it there, or correct {directive} in dkms.conf");
            Event::warning(format!("the {directive} script `{path}` of {id} does not exist, skipped"), [hint])
        }
    }
}

/// More of a line that a script wrote is not shown in an error.
const LONGEST_SAYING: usize = 600;

/// What became of a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The conf names none.
    NotDefined,
    /// It is missing or not executable; said, and nothing else.
    Skipped,
    /// It ran.
    Ran {
        /// As one could type it.
        line: String,
        /// Its exit code, 0 for success.
        code: i32,
        /// What it wrote.
        output: String,
    },
}

impl Outcome {
    /// The last line that the script wrote; empty where there is none.
    #[must_use]
    pub fn last_line(&self) -> String {
        match self {
            Self::Ran { output, .. } => {
                let last = output.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or_default();
                last.chars().take(LONGEST_SAYING).collect()
            }
            Self::NotDefined | Self::Skipped => String::new(),
        }
    }

    /// The exit code where the script failed.
    #[must_use]
    pub fn failure(&self) -> Option<i32> {
        match self {
            Self::Ran { code, .. } if *code != 0 => Some(*code),
            _ => None,
        }
    }
}

/// Runs a script of a conf in `dir` (usually the `source` link); its output, captured, is reported as
/// a note when it ends.
///
/// # Errors
/// [`ProcessError`] where it could not be started or we were interrupted. Its failure is an [`Outcome`].
pub fn run(
    hook: Hook,
    conf: &ModuleConf,
    dir: &Path,
    shell: &Shell<'_>,
    reporter: &dyn Reporter,
) -> Result<Outcome, ProcessError> {
    let Some(value) = hook.value(conf) else { return Ok(Outcome::NotDefined) };
    let found = find(shell.layout, &shell.id.name, value, dir);
    if !found.runnable {
        reporter.report(found.warning(hook, shell.id, shell.layout));
        return Ok(Outcome::Skipped);
    }
    if let Some(fault) = found.fault(dir) {
        let text = format!("the {} script of {} is not run as root: {fault}", hook.directive(), shell.id);
        reporter.report(Event::warning(text.clone(), [format!("fix it with `{}`", fault.mend())]));
        return Ok(match hook {
            // It is asked whether the module may be installed, and could not answer.
            Hook::PreInstall => Outcome::Ran { line: found.line, code: NOT_RUN, output: text },
            _ => Outcome::Skipped,
        });
    }
    reporter
        .report(Event::Started { what: format!("Running the {} script of {}", hook.directive(), shell.id) });
    reporter.report(Event::Command { line: found.line.clone() });
    let ended =
        shell.process(&found.line, &found.dir).capture().map_err(|error| naming_line(error, &found.line))?;
    let output = ended.text();
    if !output.trim().is_empty() {
        reporter.report(Event::note(output.trim_end()));
    }
    Ok(Outcome::Ran { line: found.line, code: ended.code(), output })
}

#[cfg(test)]
mod tests {
    use super::*;

    struct World {
        dir: tempfile::TempDir,
        layout: Layout,
        id: ModuleId,
        target: Target,
        environment: Environment,
    }

    fn world() -> World {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::under(dir.path());
        fs::create_dir_all(&dir.path().join("src")).unwrap();
        fs::create_dir_all(&dir.path().join("etc/dkms/foo")).unwrap();
        World {
            layout,
            id: ModuleId::parse("foo", "1.0").unwrap(),
            target: Target::parse("6.1.0-1-amd64", "x86_64").unwrap(),
            environment: [("PATH", "/usr/bin:/bin"), ("OLDPWD", "/nix"), ("install_tree", "/x")]
                .into_iter()
                .collect(),
            dir,
        }
    }

    impl World {
        fn script(&self, path: &str, text: &str, mode: u32) {
            fs::write_whole(&self.dir.path().join(path), text.as_bytes(), mode).unwrap();
        }

        fn find(&self, value: &str) -> Found {
            find(&self.layout, &self.id.name, value, &self.dir.path().join("src"))
        }

        fn output(&self, line: &str, target: Option<&Target>) -> String {
            let shell = Shell {
                layout: &self.layout,
                id: &self.id,
                target,
                headers: Some(Path::new("/h d")),
                environment: &self.environment,
            };
            shell.process(line, &self.dir.path().join("src")).capture().unwrap().text()
        }
    }

    #[test]
    fn arguments_are_the_shells_and_the_first_word_is_a_path() {
        let world = world();
        world.script("src/a.sh", "#!/bin/sh\nprintf '<%s>' \"$@\"\n", 0o755);
        let found = world.find(" a.sh 'b c' $((1+1)) *.sh; echo hi");
        assert!(found.runnable);
        assert_eq!(world.output(&found.line, None), "<b c><2><a.sh>hi\n");
        assert!(!world.find("sh -c true").runnable, "no program of PATH is taken");
        assert!(!world.find("/bin/sh").runnable, "an absolute path is relative too");
        assert!(!world.find("'a.sh'").runnable);
    }

    #[test]
    fn root_runs_no_script_that_others_may_write() {
        let world = world();
        let dir = world.dir.path().join("src");
        world.script("src/a.sh", "#!/bin/sh\ntouch ran\n", 0o755);
        world.script("src/dkms.conf", "", 0o644);
        let shell = Shell {
            layout: &world.layout,
            id: &world.id,
            target: None,
            headers: None,
            environment: &world.environment,
        };
        let mut conf = ModuleConf::empty(&world.id);
        conf.scripts.pre_install = Some("a.sh".to_owned());
        conf.scripts.post_install = Some("a.sh".to_owned());
        for (place, sound) in [("src/a.sh", 0o755), ("src/dkms.conf", 0o644), ("src", 0o755)] {
            let place = world.dir.path().join(place);
            fs::set_mode(&place, sound | 0o022).unwrap();
            let recorder = dkms_base::report::Recorder::default();
            let run = |hook| run(hook, &conf, &dir, &shell, &recorder).unwrap();
            assert_eq!(run(Hook::PreInstall).failure(), Some(NOT_RUN));
            assert_eq!(run(Hook::PostInstall), Outcome::Skipped);
            let said = format!("{:?}", recorder.events());
            assert!(said.contains("chmod go-w") && said.contains("not run as root"), "{said}");
            assert!(!fs::exists(&dir.join("ran")));
            fs::set_mode(&place, sound).unwrap();
        }
    }

    #[test]
    fn an_override_wins_and_runs_where_it_is() {
        let world = world();
        world.script("src/a.sh", "#!/bin/sh\n", 0o755);
        assert_eq!(world.find("a.sh").dir, world.dir.path().join("src"));
        world.script("etc/dkms/foo/a.sh", "#!/bin/sh\n", 0o644);
        let found = world.find("a.sh x");
        assert_eq!(found.dir, world.dir.path().join("etc/dkms/foo"));
        assert!(!found.runnable, "an override that isn't executable is skipped, as any other");
        assert!(
            matches!(found.warning(Hook::PreBuild, &world.id, &world.layout), Event::Warning { hints, .. } if hints.len() == 1)
        );
    }

    #[test]
    fn a_scripts_output_is_noted_and_its_code_handed_back() {
        let world = world();
        world.script("src/a.sh", "#!/bin/sh\necho said; exit $1\n", 0o755);
        let shell = Shell {
            layout: &world.layout,
            id: &world.id,
            target: None,
            headers: None,
            environment: &world.environment,
        };
        let recorder = dkms_base::report::Recorder::default();
        let run = |value: Option<&str>| {
            let conf = ModuleConf { scripts: scripts(value), ..ModuleConf::empty(&world.id) };
            // Another test's thread may be between fork and exec and still hold our script open
            // for writing (ETXTBSY).
            loop {
                let outcome =
                    run(Hook::PostAdd, &conf, &world.dir.path().join("src"), &shell, &recorder).unwrap();
                if outcome.failure() != Some(126) {
                    return outcome;
                }
            }
        };
        assert_eq!(run(Some("a.sh 5")).failure(), Some(5));
        assert_eq!(run(Some("a.sh 0")).failure(), None);
        assert!(recorder.events().contains(&Event::note("said")));
        assert_eq!(run(Some("nix.sh")), Outcome::Skipped);
        assert_eq!(run(None), Outcome::NotDefined);
        assert_eq!(run(Some("  ")), Outcome::NotDefined);
    }

    fn scripts(post_add: Option<&str>) -> crate::module::Scripts {
        crate::module::Scripts { post_add: post_add.map(str::to_owned), ..Default::default() }
    }

    #[test]
    fn a_command_sees_the_trees_and_exports_only_the_target() {
        let world = world();
        let root = world.dir.path().display();
        let line = "[[ $dkms_tree == */dkms ]] && echo \"$kernel_source_dir|$source_tree|$PWD\"; env | sort";
        let output = world.output(line, Some(&world.target));
        assert!(output.starts_with(&format!("/h d|{root}/usr/src|{root}/src\n")), "{output}");
        for expected in ["arch=x86_64\n", "kernelver=6.1.0-1-amd64\n", "module=foo\n", "module_version=1.0\n"]
        {
            assert!(output.contains(expected), "{expected} in {output}");
        }
        for hidden in ["\ndkms_tree=", "\nkernel_source_dir=", "\nsource_tree=", "\nOLDPWD="] {
            assert!(!output.contains(hidden), "{hidden} in {output}");
        }
        assert!(!world.output("env", None).contains("module="));
    }
}

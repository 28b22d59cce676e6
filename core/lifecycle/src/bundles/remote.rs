//! Places on other machines, asked through `dkms-fetch`: a program without rights, which alone has code for
//! networks. What it writes is read within limits, and counts for nothing before it has been judged.
//!
//! A place that does not answer is not asked again by this process.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use dkms_base::visible::visible_line;

use super::name::is_of_bundle;
use crate::conf::settings::SandboxMode;
use crate::conf::{RemotePlace, Settings, keys};
use crate::host::process::{Ended, Process, ProcessError};
use crate::host::sandbox::{Sandbox, Wanted};
use crate::host::{Environment, fs, trusted};

/// Where the program is, on one kind of system or another.
const PROGRAMS: [&str; 2] = ["/usr/libexec/dkms/dkms-fetch", "/usr/lib/dkms/dkms-fetch"];
/// What it ends with if only the file that was asked for cannot be fetched.
const FILE_ONLY: i32 = 3;
/// It keeps time itself; these are for the case that it does not.
const LONGEST_LIST: Duration = Duration::from_secs(25);
const LONGEST_FILE: Duration = Duration::from_secs(310);
/// The largest file that is taken.
const LARGEST: u64 = 512 << 20;
/// How long a place may keep us with files, all in all.
const LONGEST_IN_ALL: Duration = Duration::from_secs(900);
/// How much of the program's reason is shown.
const LONGEST_REASON: usize = 300;

/// With what a place is asked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Means<'a> {
    pub(super) settings: &'a Settings,
    pub(super) environment: &'a Environment,
}

/// Why a file was not fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Unfetched {
    /// The place cannot be used.
    Place(String),
    /// That is known, and was reported.
    GivenUp(String),
    /// Only this file.
    File(String),
}

/// What is known of a place.
#[derive(Debug, Clone)]
pub(super) struct Known {
    /// The names of its files; else why it cannot be used.
    pub(super) files: Result<Vec<String>, String>,
    /// What the program lacked that keeps it in.
    pub(super) lacks: Option<String>,
    /// How long its files took.
    spent: Duration,
}

/// What this process knows of places.
static KNOWN: Mutex<BTreeMap<RemotePlace, Known>> = Mutex::new(BTreeMap::new());

fn known() -> MutexGuard<'static, BTreeMap<RemotePlace, Known>> {
    // Whole entries are put in.
    KNOWN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a place has: asked once.
pub(super) fn list(place: &RemotePlace, means: Means<'_>) -> Known {
    let mut known = known();
    let entry = known.entry(place.clone());
    entry.or_insert_with(|| asked_for_list(place, means)).clone()
}

/// Why a place is not asked any more.
pub(super) fn given_up(place: &RemotePlace) -> Option<String> {
    known().get(place)?.files.as_ref().err().cloned()
}

fn give_up(place: &RemotePlace, why: &str) {
    if let Some(known) = known().get_mut(place) {
        known.files = Err(why.to_owned());
    }
}

fn asked_for_list(place: &RemotePlace, means: Means<'_>) -> Known {
    let unknown = |why| Known { files: Err(why), lacks: None, spent: Duration::ZERO };
    let process = match program(&["list"], place, &[], LONGEST_LIST, means) {
        Ok(process) => process,
        Err(why) => return unknown(why),
    };
    let ended = match process.capture_apart() {
        Ok(ended) => ended,
        Err(error) => return unknown(explained(&error)),
    };
    let lacks = (!ended.missing.is_empty()).then(|| ended.missing.to_string());
    let files = if ended.code() == 0 { Ok(names(&ended.output)) } else { Err(reason(&ended)) };
    Known { files, lacks, spent: Duration::ZERO }
}

/// Fetches a file of a place into a folder.
pub(super) fn get(
    place: &RemotePlace,
    name: &str,
    means: Means<'_>,
) -> Result<tempfile::NamedTempFile, Unfetched> {
    let begun = Instant::now();
    let fetched = fetched(place, name, means);
    match &fetched {
        Err(Unfetched::Place(why)) => give_up(place, why),
        _ => spend(place, begun.elapsed()),
    }
    fetched
}

fn spend(place: &RemotePlace, time: Duration) {
    if let Some(known) = known().get_mut(place) {
        known.spent += time;
        if known.spent > LONGEST_IN_ALL {
            known.files = Err(format!("its files took more than {} seconds", LONGEST_IN_ALL.as_secs()));
        }
    }
}

fn fetched(place: &RemotePlace, name: &str, means: Means<'_>) -> Result<tempfile::NamedTempFile, Unfetched> {
    let own = |error: &dyn std::fmt::Display| Unfetched::File(error.to_string());
    let folder = means.settings.staging_folder().map_err(|error| own(&error))?;
    let mut file =
        tempfile::Builder::new().prefix("dkms.").tempfile_in(folder).map_err(|error| own(&error))?;
    let process = program(&["get"], place, &[name], LONGEST_FILE, means).map_err(Unfetched::Place)?;
    let (mut length, mut failed) = (0_u64, None);
    let mut sink = |bytes: &[u8]| {
        length += bytes.len() as u64;
        failed = match () {
            () if length > LARGEST => Some(format!("it is larger than {} MiB", LARGEST >> 20)),
            () => file
                .write_all(bytes)
                .err()
                .map(|error| format!("it cannot be written to `{}`: {error}", folder.display())),
        };
        if failed.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let ended = process.stream_stdout_to(&mut sink);
    if let Some(why) = failed {
        return Err(Unfetched::File(why));
    }
    let ended = ended.map_err(|error| Unfetched::Place(explained(&error)))?;
    match ended.code() {
        0 => Ok(file),
        FILE_ONLY => Err(Unfetched::File(reason(&ended))),
        _ => Err(Unfetched::Place(reason(&ended))),
    }
}

/// The program, ready to run.
fn program(
    action: &[&str],
    place: &RemotePlace,
    more: &[&str],
    limit: Duration,
    means: Means<'_>,
) -> Result<Process, String> {
    let Means { settings, .. } = means;
    let layout = &settings.layout;
    let places = PROGRAMS.map(|path| layout.at(path));
    let found = places.iter().find(|path| fs::is_executable(path));
    let program = found.ok_or_else(|| format!("`{}` is not installed", places[0].display()))?;
    if let Some(fault) = trusted::fault(program) {
        return Err(fault.to_string());
    }
    let environment = environment(means);
    let mut secret = keys::hidden(settings, means.environment);
    secret.extend([layout.etc_dkms(), layout.dkms_tree.clone()]);
    let resolver = layout.at("/etc/resolv.conf");
    let wanted = Wanted {
        strict: settings.sandbox == SandboxMode::Strict,
        // Often a link into a folder that is hidden.
        shown: vec![resolver, program.clone()],
        secret,
        ..Wanted::bare(&settings.build_user, &environment)
    };
    let sandbox = Sandbox::for_download(&wanted).map_err(|_| "a path has a NUL byte".to_owned())?;
    let login = place.login.as_ref().map(|login| login.reveal().to_owned() + "\n");
    let flag = login.is_some().then_some("--login");
    let words = flag
        .into_iter()
        .chain(action.iter().copied())
        .chain([place.url.as_str()])
        .chain(more.iter().copied());
    let called = format!("dkms-fetch {} {}", action.join(" "), place.url);
    let process = Process::new(program, words, &environment).called(called).time_limit(limit);
    let process = process.in_sandbox(&sandbox);
    Ok(match login {
        Some(login) => process.stdin(login),
        None => process,
    })
}

/// What the program knows of ours: the proxies.
fn environment(means: Means<'_>) -> Environment {
    let mut environment: Environment =
        [("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"), ("LC_ALL", "C.UTF-8")].into_iter().collect();
    for name in ["http_proxy", "https_proxy", "all_proxy", "no_proxy"] {
        let given = |name: &str| means.environment.get_filled(name).map(str::to_owned);
        if let Some(value) = given(name).or_else(|| given(&name.to_ascii_uppercase())) {
            environment.set(name, value);
        }
    }
    if let Some(proxy) = &means.settings.prebuilt_proxy {
        environment.set("http_proxy", proxy.reveal());
        environment.set("https_proxy", proxy.reveal());
    }
    environment
}

/// The names in a list. One that could be more than a name is left out: nothing is trusted that this program
/// writes.
fn names(list: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(list);
    let name = |line: &str| line.split_once(' ').map(|(_, name)| name.to_owned());
    let mut names: Vec<String> = text.lines().filter_map(name).filter(|name| is_of_bundle(name)).collect();
    names.sort();
    names.dedup();
    names
}

fn reason(ended: &Ended) -> String {
    let text = String::from_utf8_lossy(&ended.errors);
    let line = text.lines().next().map(visible_line).unwrap_or_default();
    if line.is_empty() {
        return format!("`dkms-fetch` ended with code {}", ended.code());
    }
    line.chars().take(LONGEST_REASON).collect()
}

fn explained(error: &ProcessError) -> String {
    match error {
        ProcessError::TimedOut { seconds, .. } => format!("no answer within {seconds} seconds"),
        ProcessError::TooMuchOutput { .. } => "its list is too long".to_owned(),
        other => other.to_string(),
    }
}

/// The path of a file in a place, for people.
pub(super) fn shown(place: &RemotePlace, name: &str) -> PathBuf {
    PathBuf::from(place.url.trim_end_matches('/')).join(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conf::{PrebuiltPlace, Secret};
    use crate::layout::Layout;

    #[test]
    fn only_names_of_a_list_count() {
        let list = b"- foo-1.dkms.tar\n12 b-1.dkms.tar.gz\n- ../x-1.dkms.tar\n- a b-1.dkms.tar\n- x\x1b[2J-1.dkms.tar\n\
            foo-2.dkms.tar\n\n- foo-1.dkms.tar\n- \xff-1.dkms.tar\n";
        assert_eq!(names(list), ["b-1.dkms.tar.gz", "foo-1.dkms.tar"]);
    }

    #[test]
    fn the_program_gets_proxies_and_nothing_else_of_our_environment() {
        let mut settings = Settings::defaults(Layout::under(std::path::Path::new("/nonexistent")));
        let own: Environment = [
            ("HTTP_PROXY", "http://p:1"),
            ("no_proxy", "h"),
            ("SECRET", "x"),
            ("HOME", "/root"),
            ("LD_PRELOAD", "x"),
        ]
        .into_iter()
        .collect();
        let named = |settings: &Settings| {
            let environment = environment(Means { settings, environment: &own });
            environment.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(
            named(&settings),
            "LC_ALL=C.UTF-8 PATH=/usr/sbin:/usr/bin:/sbin:/bin http_proxy=http://p:1 no_proxy=h"
        );
        settings.prebuilt_proxy = Some(Secret::new("http://u:p@q:2"));
        assert!(named(&settings).contains("http_proxy=http://u:p@q:2 https_proxy=http://u:p@q:2 no_proxy=h"));
    }

    #[test]
    fn without_the_program_a_place_cannot_be_used() {
        let settings = Settings::defaults(Layout::under(std::path::Path::new("/nonexistent")));
        let environment = Environment::default();
        let Some(PrebuiltPlace::Remote(place)) = PrebuiltPlace::parse("https://h.invalid/none") else {
            panic!()
        };
        let means = Means { settings: &settings, environment: &environment };
        let why = list(&place, means).files.unwrap_err();
        assert_eq!(why, "`/nonexistent/usr/libexec/dkms/dkms-fetch` is not installed");
        assert_eq!(given_up(&place), Some(why));
    }
}

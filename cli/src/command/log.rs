//! `dkms log [M[/V]] [-k K]`: what became of builds, newest first, with the error on top and the log
//! behind it. Reads only.

use dkms_base::diagnose::diagnose;
use dkms_base::host::clock;
use dkms_base::id::{ModuleId, Target};
use dkms_core::plan::Refusal;
use dkms_core::tree::Snapshot;
use dkms_core::tree::logs::{self, Ending, Logged};
use serde_json::json;

use crate::failure::Failure;
use crate::render::{JSON_VERSION, say};
use crate::session::Session;

/// How many are listed where no module is named.
const LISTED: usize = 20;

/// Prints builds.
pub(super) fn run(session: &Session<'_>) -> Result<(), Failure> {
    let invocation = session.invocation;
    let (name, version) = (&invocation.name, &invocation.version);
    let wanted = |id: &ModuleId| {
        name.as_ref().is_none_or(|name| *name == id.name)
            && version.as_ref().is_none_or(|version| *version == id.version)
    };
    let snapshot = session.snapshot()?;
    let mut builds = logs::all(&session.settings.layout, &snapshot, wanted);
    if builds.is_empty() && !snapshot.modules.keys().any(wanted) {
        check_known(session, &snapshot)?;
    }
    builds.retain(|build| build.target.as_ref().is_none_or(|target| is_asked_for(session, target)));
    let all = session.args().all;
    if name.is_none() && !all {
        builds.truncate(LISTED);
    }
    let shown: Vec<Shown> = builds
        .iter()
        .enumerate()
        .map(|(place, build)| Shown::of(build, name.is_some() && (place == 0 || all)))
        .collect();
    if session.args().json {
        let builds: Vec<_> = shown.iter().map(Shown::json).collect();
        session.terminal.print(&json!({"version": JSON_VERSION, "builds": builds}).to_string());
        return Ok(());
    }
    if shown.is_empty() {
        say(session.terminal, "no build is recorded");
    }
    for one in &shown {
        session.terminal.print(&one.text(name.is_some()));
    }
    Ok(())
}

/// A module that was named must be there.
fn check_known(session: &Session<'_>, snapshot: &Snapshot) -> Result<(), Failure> {
    let invocation = session.invocation;
    match (&invocation.name, &invocation.version) {
        (None, _) => Ok(()),
        (Some(name), Some(version)) => {
            Err(Refusal::NotInTree { id: ModuleId::new(name.clone(), version.clone()) }.into())
        }
        (Some(name), None) if snapshot.modules.keys().any(|id| id.name == *name) => Ok(()),
        (Some(name), None) => Err(Refusal::UnknownModule { name: name.clone() }.into()),
    }
}

fn is_asked_for(session: &Session<'_>, target: &Target) -> bool {
    let (kernels, arches) = (&session.invocation.kernels, &session.invocation.arches);
    let of_kernel = |(kernel, arch): &(_, Option<_>)| {
        *kernel == target.kernel && arch.as_ref().is_none_or(|arch| *arch == target.arch)
    };
    (kernels.is_empty() || kernels.iter().any(of_kernel))
        && (arches.is_empty() || arches.contains(&target.arch))
}

/// A build with what is shown of it.
struct Shown<'a> {
    build: &'a Logged,
    /// The first error with its place, the cause, the remedy.
    diagnosis: Vec<String>,
    /// The whole log, or why it can't be shown.
    log: Option<String>,
}

impl<'a> Shown<'a> {
    fn of(build: &'a Logged, whole: bool) -> Self {
        let text = build.log.as_deref().map(logs::text_of);
        let fresh = match &text {
            // The log may be of the 3.x line; and we may know more than when it was written.
            Some(Ok(text)) if build.ending == Ending::Failed => diagnose(text).lines(),
            _ => Vec::new(),
        };
        let diagnosis = if fresh.is_empty() { build.diagnosis.clone() } else { fresh };
        let log = text.filter(|_| whole).map(|text| text.unwrap_or_else(|error| error.to_string()));
        Self { build, diagnosis, log }
    }

    /// Head line; and where the module was named, what went wrong, and the log.
    fn text(&self, in_full: bool) -> String {
        let Logged { id, target, when, ending, seconds, error, log, .. } = self.build;
        let kernel = target.as_ref().map_or_else(
            || "an unknown kernel".to_owned(),
            |target| format!("kernel {} ({})", target.kernel, target.arch),
        );
        let mut head = format!("{id} for {kernel}: {} on {}", ending.word(), clock::rfc2822(*when));
        if let Some(seconds) = seconds {
            head.push_str(&format!(", {seconds:.1} s"));
        }
        if let Some(log) = log {
            head.push_str(&format!(", `{}`", log.display()));
        }
        let mut lines = vec![head];
        if in_full {
            lines.extend(error.iter().chain(&self.diagnosis).map(|line| format!("  {line}")));
            lines.extend(self.log.iter().map(|log| format!("\n{}\n", log.trim_end())));
        }
        lines.join("\n")
    }

    fn json(&self) -> serde_json::Value {
        let Logged { id, target, when, ending, seconds, error, log, .. } = self.build;
        json!({
            "module": id.name,
            "version": id.version,
            "kernel": target.as_ref().map(|target| &target.kernel),
            "arch": target.as_ref().map(|target| &target.arch),
            "when": when,
            "ending": ending.word(),
            "seconds": seconds,
            "error": error,
            "diagnosis": self.diagnosis,
            "path": log,
            "log": self.log,
        })
    }
}

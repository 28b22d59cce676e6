//! Whether critical modules are there for kernels, and would be loaded.

use std::fmt;
use std::path::PathBuf;

use super::Critical;
use crate::conf::ModuleConf;
use crate::engine::Survey;
use crate::engine::refused::Judge;
use crate::host::fs::FsError;
use crate::id::{ModuleId, ModuleName, Target};
use crate::install;
use crate::tree::{Snapshot, attempts};
use crate::verify::Examiner;

/// What is known of a module on a kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is there, and the kernel takes it.
    Proven,
    /// It is not there, or the kernel refuses it.
    Refuted,
    /// Neither is known.
    Unknown,
}

impl Verdict {
    /// The word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Proven => "proven",
            Self::Refuted => "refuted",
            Self::Unknown => "unknown",
        }
    }
}

/// A critical module on a kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The module, in the version that is installed or would be.
    pub id: ModuleId,
    /// The kernel.
    pub target: Target,
    /// Why it is critical.
    pub critical: String,
    /// What is known.
    pub verdict: Verdict,
    /// Whether its files are there.
    pub is_there: bool,
    /// Why, if it is not proven.
    pub reason: String,
    /// What would help.
    pub remedy: Option<String>,
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, target, critical, verdict, is_there, reason, .. } = self;
        let what = match (verdict, is_there) {
            (Verdict::Proven, _) => return write!(f, "{id} ({critical}) is there for {}", target.kernel),
            (Verdict::Refuted, false) => "is not there for",
            (Verdict::Refuted, true) => "will not load on",
            (Verdict::Unknown, _) => "is not known to be there for",
        };
        write!(f, "{id} ({critical}) {what} {}: {reason}", target.kernel)
    }
}

/// Each critical module on each of these kernels, in the order of kernels and names.
///
/// # Errors
/// [`FsError`] where a kernel can't be looked at.
pub fn standings(
    critical: &Critical,
    survey: &Survey<'_>,
    snapshot: &Snapshot,
    kernels: &[Target],
) -> Result<Vec<Standing>, FsError> {
    let names: Vec<&ModuleName> = critical.names().collect();
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let weak = survey.weak(snapshot)?;
    let judge = survey.judge();
    let mut found = Vec::new();
    for target in kernels {
        for name in &names {
            let installed = snapshot.installed_version(name, target);
            let installed = installed.map(|version| ModuleId::new((*name).clone(), version.clone()));
            let served = weak.iter().find(|(id, on, _)| id.name == **name && on == target);
            let known = installed.or_else(|| served.map(|(id, ..)| id.clone()));
            let newest = || snapshot.versions(name).last().map(|id| (*id).clone());
            let Some(id) = known.clone().or_else(newest) else { continue };
            let conf = survey.lenient_conf(&id, target)?;
            let look = Look { survey, judge: &judge, id: &id, target, conf: &conf };
            let (verdict, is_there, reason) = look.verdict(known.is_some(), served.is_some())?;
            let remedy = (verdict == Verdict::Refuted).then(|| look.remedy(is_there));
            found.push(Standing {
                critical: critical.why(name).unwrap_or_default().to_owned(),
                target: target.clone(),
                id,
                verdict,
                is_there,
                reason,
                remedy,
            });
        }
    }
    Ok(found)
}

struct Look<'a, 's> {
    survey: &'a Survey<'s>,
    judge: &'a Judge<'s>,
    id: &'a ModuleId,
    target: &'a Target,
    conf: &'a ModuleConf,
}

impl Look<'_, '_> {
    /// The verdict, whether the module is there, and the reason.
    fn verdict(&self, is_installed: bool, is_weak: bool) -> Result<(Verdict, bool, String), FsError> {
        let Self { survey, judge, id, target, conf } = self;
        let layout = survey.layout();
        if !is_installed {
            let (verdict, reason) = self.absent()?;
            return Ok((verdict, false, reason));
        }
        if is_weak {
            let text = "it is linked from another kernel (weak-updates)".to_owned();
            return Ok((Verdict::Unknown, true, text));
        }
        let folder = survey.module_folder.as_deref();
        let files: Vec<PathBuf> = install::installed_files(&layout.kernel_dir(&target.kernel), conf, folder);
        if files.len() < conf.included().count() {
            return Ok((
                Verdict::Refuted,
                false,
                "a file of it is missing in the kernel's folder".to_owned(),
            ));
        }
        let kernel = survey.kernel(target)?;
        if let Some(rejection) = judge.refuses(&kernel, &files) {
            return Ok((Verdict::Refuted, true, rejection.to_string()));
        }
        let examiner = Examiner::new(layout, &kernel);
        let fault = files.iter().zip(examiner.examine(&files)).find_map(|(file, faults)| {
            let name = file.file_name()?.to_string_lossy().into_owned();
            faults.into_iter().next().map(|fault| format!("`{name}` {fault}"))
        });
        Ok(match fault {
            Some(fault) => (Verdict::Refuted, true, fault),
            None if files.is_empty() => {
                (Verdict::Unknown, true, format!("dkms.conf of {id} names no module for this kernel"))
            }
            None => (Verdict::Proven, true, String::new()),
        })
    }

    /// Of a module that dkms has not installed.
    fn absent(&self) -> Result<(Verdict, String), FsError> {
        let Self { survey, id, target, conf, .. } = self;
        let tree = survey.module_tree(target)?;
        let mut modules = conf.modules.iter();
        if !conf.modules.is_empty() && modules.all(|module| !tree.paths(&module.dest_name).is_empty()) {
            return Ok((Verdict::Unknown, "the kernel has a module of that name from elsewhere".to_owned()));
        }
        let reason = if let Some(exclusion) = &conf.excluded {
            exclusion.to_string()
        } else if let Some(why) = attempts::last_failure(survey.layout(), id, target) {
            format!("its last build failed: {why}")
        } else if !survey.kernel(target)?.headers_usable {
            "the headers of this kernel are not there".to_owned()
        } else {
            "it is not installed".to_owned()
        };
        Ok((Verdict::Refuted, reason))
    }

    fn remedy(&self, is_there: bool) -> String {
        let Self { id, target, .. } = self;
        let force = if is_there { " --force" } else { "" };
        format!("`dkms install {id} -k {}{force}` tries again; do not boot it before", target.kernel)
    }
}

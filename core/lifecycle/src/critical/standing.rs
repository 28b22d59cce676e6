//! Whether critical modules are there for kernels, and would be loaded.

use std::fmt;

use super::Critical;
use crate::conf::ModuleConf;
use crate::engine::Survey;
use crate::host::fs::FsError;
use crate::id::{ModuleId, ModuleName, Target};
use crate::tree::{Snapshot, attempts};
use crate::verify::{Link, LinkProof, Verdict, Verifier};

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
    /// The first link that is not proven.
    pub link: Option<Link>,
    /// Why, if it is not proven.
    pub reason: String,
    /// What would help.
    pub remedy: Option<String>,
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, target, critical, verdict, link, reason, .. } = self;
        let what = match (verdict, link) {
            (Verdict::Proven, _) => return write!(f, "{id} ({critical}) is there for {}", target.kernel),
            (Verdict::Refuted, Some(Link::There)) => "is not there for",
            (Verdict::Refuted, Some(Link::Boot)) => "will not be what is loaded at the boot of",
            (Verdict::Refuted, _) => "will not load on",
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
    let verifier = Verifier::new(survey.layout(), survey, snapshot)?;
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
            let look = Look { survey, verifier: &verifier, id: &id, target, conf: &conf };
            let (verdict, open) = look.verdict(known.is_some())?;
            let remedy = (verdict == Verdict::Refuted).then(|| look.remedy(open.as_ref()));
            let (link, reason) = open.map(|open| (open.link, open.reason.unwrap_or_default())).unzip();
            found.push(Standing {
                critical: critical.why(name).unwrap_or_default().to_owned(),
                target: target.clone(),
                id,
                verdict,
                link,
                reason: reason.unwrap_or_default(),
                remedy,
            });
        }
    }
    Ok(found)
}

struct Look<'a, 's> {
    survey: &'a Survey<'s>,
    verifier: &'a Verifier<'s>,
    id: &'a ModuleId,
    target: &'a Target,
    conf: &'a ModuleConf,
}

impl Look<'_, '_> {
    /// The verdict, and the first link that has it if it is not proven.
    fn verdict(&self, is_installed: bool) -> Result<(Verdict, Option<LinkProof>), FsError> {
        let Self { id, target, .. } = self;
        if !is_installed {
            let (verdict, reason) = self.absent()?;
            return Ok((
                verdict,
                Some(LinkProof { link: Link::There, verdict, reason: Some(reason), remedy: None }),
            ));
        }
        let proofs = self.verifier.proofs(std::slice::from_ref(*id), target)?;
        let Some(proof) = proofs.first() else { return Ok((Verdict::Unknown, None)) };
        let verdict = proof.verdict();
        Ok((verdict, proof.open().find(|link| link.verdict == verdict).cloned()))
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

    /// The command that helps.
    fn remedy(&self, open: Option<&LinkProof>) -> String {
        let Self { id, target, .. } = self;
        match open {
            Some(LinkProof { link: Link::Boot, remedy, .. }) => match remedy {
                Some(remedy) => format!("`{remedy}` remakes it"),
                None => "remake the image".to_owned(),
            },
            Some(LinkProof { link: Link::There, .. }) => {
                format!("`dkms install {id} -k {}` tries again; do not boot it before", target.kernel)
            }
            _ => {
                format!("`dkms install {id} -k {} --force` tries again; do not boot it before", target.kernel)
            }
        }
    }
}

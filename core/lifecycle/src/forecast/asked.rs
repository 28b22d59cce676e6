//! The modules that a forecast is about: in use, or brought up by autoinstall; in their newest version, and
//! with what they are built against.

use crate::engine::Survey;
use crate::host::fs::FsError;
use crate::id::{ModuleId, ModuleName, Target};
use crate::tree::Snapshot;

/// The modules to build for a kernel; `only`: of these names.
///
/// # Errors
/// [`FsError`] where the kernel can't be looked at.
pub fn asked(
    target: &Target,
    only: Option<&[ModuleName]>,
    survey: &Survey<'_>,
    snapshot: &Snapshot,
) -> Result<Vec<ModuleId>, FsError> {
    let mut known: Vec<ModuleId> = snapshot.newest().into_iter().cloned().collect();
    // A broken one where there is no other: its failure is worth a line.
    for id in snapshot.modules.keys() {
        if !known.iter().any(|other| other.name == id.name) {
            known.push(id.clone());
        }
    }
    let (mut asked, mut depends) = (Vec::new(), Vec::new());
    for id in &known {
        let file = survey.layout().source_link(id).join("dkms.conf");
        let conf = survey.conf_in(id, &file, target)?;
        let is_in_use = snapshot.installed.keys().any(|(name, _)| *name == id.name);
        let is_wanted = match only {
            Some(names) => names.contains(&id.name),
            None => is_in_use || conf.as_ref().map_or(is_in_use, |conf| conf.autoinstall),
        };
        if is_wanted {
            asked.push(id.clone());
        }
        depends.push((id.name.clone(), conf.map(|conf| conf.build_depends).unwrap_or_default()));
    }
    let mut place = 0;
    while let Some(id) = asked.get(place).cloned() {
        place += 1;
        let needs = depends.iter().find(|(name, _)| *name == id.name);
        for name in needs.iter().flat_map(|(_, needs)| needs) {
            let new = known.iter().find(|other| other.name == *name && !asked.contains(other));
            asked.extend(new.cloned());
        }
    }
    asked.sort();
    Ok(asked)
}

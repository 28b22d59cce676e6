//! `dkms ltdk [FOLDER]`: what MODULE_LICENSE allows. Reads only.

use std::path::Path;

use dkms_base::exit::ExitCode;
use dkms_base::host::fs;
use dkms_packaging::license;
use serde_json::json;

use crate::failure::Failure;
use crate::render::JSON_VERSION;
use crate::session::Session;

/// Reports each MODULE_LICENSE of the source; fails where one is not compatible, or none is there.
pub(super) fn run(session: &Session<'_>) -> Result<(), Failure> {
    let folder = session.invocation.folder.as_deref().unwrap_or(Path::new("."));
    if !fs::is_dir(folder) {
        return Err(Failure::new(ExitCode::BAD_OPTION, format!("`{}` is no folder", folder.display())));
    }
    let found = license::scan(folder)?;
    if session.args().json {
        let files: Vec<_> = found
            .iter()
            .map(|one| json!({"file": one.file, "license": one.license, "gpl_compatible": one.is_compatible()}))
            .collect();
        session.terminal.print(&json!({"version": JSON_VERSION, "files": files}).to_string());
    } else {
        for one in &found {
            let license = one.license.as_deref().map_or_else(
                || "its licence is not written out".to_owned(),
                |license| format!("`{}`", license.escape_debug()),
            );
            let verdict = if one.is_compatible() { "may" } else { "may not" };
            let file = one.file.display();
            session.terminal.print(&format!("{file}: {license}, {verdict} use GPL-only symbols"));
        }
    }
    let refused = |message: String| Err(Failure::new(ExitCode::USAGE_OR_RIGHTS, message));
    let incompatible = found.iter().filter(|one| !one.is_compatible()).count();
    if found.is_empty() {
        return refused(format!("no C file below `{}` has a MODULE_LICENSE", folder.display()));
    }
    if incompatible > 0 {
        return refused(format!("{incompatible} of {} modules may not use GPL-only symbols", found.len()));
    }
    Ok(())
}

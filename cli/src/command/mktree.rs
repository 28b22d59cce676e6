//! `dkms mktree` and `dkms unmktree`

use std::path::PathBuf;

use dkms_base::exit::ExitCode;
use dkms_base::host::fs;
use dkms_base::id::ModuleId;
use dkms_packaging::skeleton;

use crate::failure::Failure;
use crate::render::say;
use crate::session::{Session, absolute};

/// `dkms mktree M/V [FOLDER]`
pub(super) fn make(session: &Session<'_>) -> Result<(), Failure> {
    let (id, folder) = subject(session)?;
    if session.args().dry_run {
        session.terminal.only_step(&format!("make the source tree `{}`", folder.display()));
        return Ok(());
    }
    skeleton::make(&id, &folder)?;
    let add = if folder == session.settings.layout.source_dir(&id) {
        id.to_string()
    } else {
        folder.display().to_string()
    };
    say(
        session.terminal,
        format!("Made `{}`; `dkms install {add}` builds and installs it", folder.display()),
    );
    Ok(())
}

/// `dkms unmktree M/V [FOLDER]`
pub(super) fn remove(session: &Session<'_>) -> Result<(), Failure> {
    let (id, folder) = subject(session)?;
    // What is added may be built from this folder at any time, whatever the tree links to.
    if session.snapshot()?.get(&id).is_some() {
        return Err(Failure::new(
            ExitCode::NOT_IN_TREE,
            format!("{id} is added to the dkms tree, and its source tree stays: `{}`", folder.display()),
        )
        .hint(format!("dkms remove {id} --all")));
    }
    if session.args().dry_run {
        session.terminal.only_step(&format!("remove the source tree `{}`", folder.display()));
        return Ok(());
    }
    skeleton::remove(&id, &folder)?;
    say(session.terminal, format!("Removed `{}`", folder.display()));
    Ok(())
}

fn subject(session: &Session<'_>) -> Result<(ModuleId, PathBuf), Failure> {
    let id = session.invocation.module()?;
    let folder = match &session.invocation.folder {
        Some(folder) => absolute(folder),
        None => session.settings.layout.source_dir(&id),
    };
    // A link would be removed or made over in place of what it leads to.
    if fs::link_target(&folder)?.is_some() {
        return Err(Failure::new(
            ExitCode::NOT_IN_TREE,
            format!("`{}` is a link, no source tree of its own", folder.display()),
        ));
    }
    Ok((id, folder))
}

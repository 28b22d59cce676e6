//! A module package has come: `common.postinst NAME VERSION [TARBALL_ROOT]`, called by its %post.

use std::path::Path;

use dkms_core::adapter::Initramfs;
use dkms_core::event::{Arrival, Happening};
use dkms_core::exit::ExitCode;
use dkms_core::host::fs;
use dkms_core::host::process::Process;
use dkms_core::id::ModuleId;

use crate::front::Front;
use crate::session::{Session, When};

/// Where somebody calls at the transaction's end, that is when it is built, with all that comes besides; otherwise now.
#[must_use]
pub fn postinst(session: &Session<'_>, words: &[&str]) -> ExitCode {
    let word = |place: usize| words.get(place).copied().unwrap_or_default();
    let id = match ModuleId::parse(word(0), word(1)) {
        Ok(id) => id,
        Err(error) => {
            session.out.say(&format!("error: {error}"));
            session.out.say("usage: common.postinst NAME VERSION [TARBALL_ROOT]");
            return ExitCode::USAGE_OR_RIGHTS;
        }
    };
    let tarball = Path::new(word(2)).join(format!("{}.dkms.tar.gz", id.dir_name()));
    if !word(2).is_empty() && fs::is_file(&tarball) && !load(session, &tarball) {
        return session.failed();
    }
    let front = session.front();
    if front != Front::Nobody {
        return ExitCode::SUCCESS;
    }
    let told = [Happening::ModuleArrived(id, Arrival::First)];
    let (summary, code) = session.act(&told, When::Meanwhile, Initramfs::Ours);
    session.tell(summary, front);
    code
}

/// Loads a package's tarball, which may have what was built as well.
fn load(session: &Session<'_>, tarball: &Path) -> bool {
    let words = ["ldtarball", "--force", "--archive"].map(std::ffi::OsString::from);
    let words = words.into_iter().chain([tarball.as_os_str().to_owned()]);
    let why = match Process::new("dkms", words, &session.adapter.environment).capture() {
        Ok(ended) if ended.code() == 0 => return true,
        Ok(ended) => ended.text(),
        Err(error) => error.to_string(),
    };
    session.out.say(&format!("error: `{}` can't be loaded", tarball.display()));
    why.lines().for_each(|line| session.out.say(line));
    false
}

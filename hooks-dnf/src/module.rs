//! A module package has come: `common.postinst NAME VERSION [TARBALL_ROOT]`, called by its %post.

use dkms_base::exit::ExitCode;
use dkms_base::id::ModuleId;
use dkms_core::event::{Arrival, Happening};
use dkms_hooks::{Initramfs, ModulePackage};

use crate::front::Front;
use crate::look;
use crate::scriptlet;
use crate::session::{Session, When};

/// Whether the %posttrans of the module's package, which comes before what calls us at the end, may use it.
fn is_used_before_the_triggers(session: &Session<'_>, id: &ModuleId) -> bool {
    let conf = session.layout().source_dir(id).join("dkms.conf");
    scriptlet::uses_module(&look::posttrans_of(&conf, &session.adapter.environment))
}

/// Where we are called at the transaction's end, that is when it is built, with all that comes besides.
/// Where nobody does, or the script goes on and may use the module, it is built now.
#[must_use]
pub fn postinst(mut session: Session<'_>, words: &[&str]) -> ExitCode {
    let Some(package) = ModulePackage::from_words(words, session.out) else {
        return ExitCode::USAGE_OR_RIGHTS;
    };
    if !package.load(&session.adapter.environment, session.out) {
        return session.failed();
    }
    let front = session.front();
    if front != Front::Nobody && !scriptlet::goes_on() && !is_used_before_the_triggers(&session, &package.id)
    {
        return ExitCode::SUCCESS;
    }
    // The %preun of the version before comes after us: what is in place is that one's.
    session.adapter.replaces_newer = true;
    let told = [Happening::ModuleArrived(package.id, Arrival::First)];
    let (summary, code) = session.act(&told, When::Meanwhile, Initramfs::Ours);
    session.tell(summary, front);
    code
}

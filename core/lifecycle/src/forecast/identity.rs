//! What a forecast was made of, by which it is decided whether it still holds: a module's source with what
//! the admin adds to it, and the compiler. No process is started.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use sha2::{Digest as _, Sha256};

use crate::build::inputs::hex;
use crate::host::{Environment, fs, programs};
use crate::id::{ModuleId, Target};
use crate::kernel::Toolchain;
use crate::layout::Layout;

/// No file of the admin's is larger.
const LIMIT: u64 = 1 << 20;

/// The digest of a module's source, and of what `/etc/dkms` has for it; empty: it can't be read.
pub(super) fn source_of(id: &ModuleId, target: &Target, layout: &Layout) -> String {
    let folder = |path: &Path| dkms_archive::source_digest(path).ok();
    let Some(source) = fs::canonical(&layout.source_link(id)).ok().and_then(|path| folder(&path)) else {
        return String::new();
    };
    let mut sum = Sha256::new();
    sum.update(&source);
    let own = layout.etc_dkms().join(&id.name);
    sum.update(if fs::is_dir(&own) { folder(&own).unwrap_or_default() } else { String::new() });
    for file in layout.conf_overrides(id, target) {
        let text = fs::read_limited(&file, LIMIT).unwrap_or_default();
        sum.update((text.len() as u64).to_le_bytes());
        sum.update(&text);
    }
    hex(&sum.finalize())
}

/// The compiler that a kernel's modules are built with: its name, and which file that is.
pub(super) fn compiler_of(toolchain: &Toolchain, environment: &Environment) -> String {
    compiler_now(toolchain.cc.as_deref().unwrap_or("gcc"), environment)
}

/// The same of one by its name, as it is now.
pub(super) fn compiler_now(name: &str, environment: &Environment) -> String {
    let mut text = name.to_owned();
    for word in name.split_whitespace() {
        let file = programs::find(word, environment).and_then(|path| fs::canonical(&path).ok());
        let about = file.and_then(|path| Some((fs::stat(&path).ok().flatten()?, path)));
        text.push_str(&match about {
            Some((meta, path)) => format!("; {} {} {}", path.display(), meta.size(), meta.mtime()),
            None => "; is not there".to_owned(),
        });
    }
    text
}

/// Whether a compiler is what it was.
pub(super) fn is_same_compiler(then: &str, environment: &Environment) -> bool {
    let name = then.split(';').next().unwrap_or_default();
    !name.is_empty() && compiler_now(name, environment) == then
}

//! The folders that the builds of a forecast see in place of the system's: a dkms tree with the same
//! registrations and nothing built, and a module folder of the kernel that can be written. All of it lies in
//! a scratch folder, and goes with it.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Outlook, Prediction};
use crate::host::clock;
use crate::host::fs::{self, FsError};
use crate::id::{KernelRelease, ModuleId, Target};
use crate::layout::Layout;
use crate::tree::attempts::{self, Expected, Record};
use crate::tree::{Snapshot, Source};

/// Larger is no result.
const LIMIT: u64 = 16 << 20;
/// In `.state` of a tree that may be worked in: it is not the system's.
const MARK: &str = "forecast-layer";

/// Makes the tree; returns its folder. It knows what the builds will take, as the system's tree does.
///
/// # Errors
/// [`FsError`].
pub fn make_tree(
    scratch: &Path,
    ids: &[ModuleId],
    target: &Target,
    snapshot: &Snapshot,
    layout: &Layout,
) -> Result<PathBuf, FsError> {
    let tree = scratch.join("tree");
    let mut own = layout.clone();
    own.dkms_tree.clone_from(&tree);
    fs::create_dir_all(&own.state_dir())?;
    fs::write_whole(&own.state_dir().join(MARK), b"", 0o644)?;
    for id in ids {
        fs::create_dir_all(&own.version_dir(id))?;
        let source = match snapshot.get(id).map(|found| &found.source) {
            Some(Source::Present(path) | Source::Dangling(path)) => path.clone(),
            Some(Source::Unlinked(_)) | None => continue,
        };
        fs::symlink(&source, &own.source_link(id))?;
        if let Some(Expected { seconds, memory }) = attempts::expected(layout, &id.name) {
            let record = Record::new(clock::unix_seconds(), seconds, memory);
            attempts::record(&own, id, target, &record, None)?;
        }
    }
    Ok(tree)
}

/// Makes a module folder for a kernel whose headers are installed: what it has besides modules, as links and
/// copies; returns it.
///
/// # Errors
/// [`FsError`].
pub fn make_module_folder(
    scratch: &Path,
    kernel: &KernelRelease,
    layout: &Layout,
) -> Result<PathBuf, FsError> {
    let (folder, real) = (scratch.join("modules"), layout.kernel_dir(kernel));
    fs::create_dir_all(&folder)?;
    for entry in fs::list(&real)? {
        let (from, to) = (real.join(&entry.name), folder.join(&entry.name));
        if let Some(target) = fs::link_target(&from)? {
            fs::symlink(&target, &to)?;
        } else if entry.name == "build" || entry.name == "source" {
            // Arch has the headers themselves there: they are shown in this folder's place.
            fs::create_dir_all(&to)?;
        } else if entry.kind.is_file() && entry.name != "vmlinuz" {
            fs::copy_file(&from, &to)?;
        }
    }
    Ok(folder)
}

/// Whether the tree is one of ours, to be thrown away.
#[must_use]
pub fn is_in_layer(layout: &Layout) -> bool {
    fs::is_file(&layout.state_dir().join(MARK))
}

/// What is handed to the process in the layer, and back.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Handed {
    modules: Vec<HandedModule>,
}

#[derive(Debug, Serialize, Deserialize)]
struct HandedModule {
    module: String,
    version: String,
    outlook: Option<Outlook>,
    reason: Option<String>,
    source: String,
    compiler: String,
}

/// Asks for these modules.
///
/// # Errors
/// [`FsError`].
pub fn ask(scratch: &Path, ids: &[ModuleId]) -> Result<(), FsError> {
    let predictions: Vec<_> = ids.iter().map(|id| Prediction::unknown(id.clone(), "")).collect();
    write(&scratch.join("asked"), &predictions)
}

/// What was asked for.
#[must_use]
pub fn asked_for(scratch: &Path) -> Option<Vec<ModuleId>> {
    Some(read(&scratch.join("asked"))?.into_iter().map(|prediction| prediction.id).collect())
}

/// Answers.
///
/// # Errors
/// [`FsError`].
pub fn answer(scratch: &Path, predictions: &[Prediction]) -> Result<(), FsError> {
    write(&scratch.join("answer"), predictions)
}

/// The answer; `None`: there is none.
#[must_use]
pub fn answer_in(scratch: &Path) -> Option<Vec<Prediction>> {
    read(&scratch.join("answer"))
}

fn write(file: &Path, predictions: &[Prediction]) -> Result<(), FsError> {
    let modules = predictions.iter().map(|prediction| HandedModule {
        module: prediction.id.name.to_string(),
        version: prediction.id.version.to_string(),
        outlook: Some(prediction.outlook),
        reason: prediction.reason.clone(),
        source: prediction.source.clone(),
        compiler: prediction.compiler.clone(),
    });
    // Texts can always be written as JSON.
    let text = serde_json::to_vec(&Handed { modules: modules.collect() }).unwrap_or_default();
    fs::write_whole(file, &text, 0o644)
}

fn read(file: &Path) -> Option<Vec<Prediction>> {
    let handed: Handed = serde_json::from_slice(&fs::read_limited(file, LIMIT).ok()?).ok()?;
    let prediction = |module: HandedModule| {
        let HandedModule { module, version, outlook, reason, source, compiler } = module;
        let id = ModuleId::parse(&module, &version).ok()?;
        Some(Prediction { id, outlook: outlook?, reason, source, compiler })
    };
    handed.modules.into_iter().map(prediction).collect()
}

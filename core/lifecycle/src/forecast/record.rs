//! `.state/forecast/K-A.json`: the last forecast for a kernel. It appears by one rename; what can't be read
//! as one isn't there.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Outlook, Prediction};
use crate::host::fs::{self, FsError};
use crate::id::{ModuleId, Target};
use crate::layout::Layout;
use crate::tree::state;

/// Grows with every incompatible change.
const FORMAT: u32 = 1;
/// No forecast is larger.
const LIMIT: u64 = 1 << 20;
/// Forecasts for so many kernels are kept.
const KEPT: usize = 8;
/// More of a reason than this is not kept: in characters.
const LONGEST_REASON: usize = 2000;

/// A forecast for a kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forecast {
    /// The kernel.
    pub target: Target,
    /// When it was made, in seconds since 1970.
    pub when: u64,
    /// The package of its headers; empty: not known.
    pub headers: String,
    /// The version of that package; empty: not known.
    pub version: String,
    /// The modules.
    pub modules: Vec<Prediction>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Stored {
    format: u32,
    kernel: String,
    arch: String,
    when: u64,
    headers: String,
    version: String,
    modules: Vec<StoredModule>,
}

#[derive(Debug, Serialize, Deserialize)]
struct StoredModule {
    module: String,
    version: String,
    result: Outlook,
    reason: Option<String>,
    source: String,
    compiler: String,
}

fn folder(layout: &Layout) -> PathBuf {
    layout.state_dir().join("forecast")
}

fn file(target: &Target, layout: &Layout) -> PathBuf {
    folder(layout).join(format!("{}-{}.json", target.kernel, target.arch))
}

/// The one for a kernel.
#[must_use]
pub fn read(target: &Target, layout: &Layout) -> Option<Forecast> {
    let text = fs::read_limited(&file(target, layout), LIMIT).ok()?;
    let stored: Stored = serde_json::from_slice(&text).ok()?;
    let told = Target::parse(&stored.kernel, &stored.arch).ok()?;
    if stored.format != FORMAT || told != *target {
        return None;
    }
    let module = |module: StoredModule| {
        let StoredModule { module, version, result, reason, source, compiler } = module;
        let id = ModuleId::parse(&module, &version).ok()?;
        Some(Prediction { id, outlook: result, reason, source, compiler })
    };
    let Stored { when, headers, version, modules, .. } = stored;
    let modules = modules.into_iter().map(module).collect::<Option<_>>()?;
    Some(Forecast { target: told, when, headers, version, modules })
}

/// Keeps a forecast, in place of an earlier one for that kernel; the oldest of others go. What an earlier one
/// says of modules that this one is not about stays, where both are of the same headers.
///
/// # Errors
/// [`FsError`].
pub fn keep(forecast: &Forecast, layout: &Layout) -> Result<(), FsError> {
    state::create_folder(layout, &folder(layout))?;
    let mut modules = forecast.modules.clone();
    if let Some(earlier) =
        read(&forecast.target, layout).filter(|earlier| earlier.version == forecast.version)
    {
        let others = earlier.modules.into_iter().filter(|one| !modules.iter().any(|new| new.id == one.id));
        modules.extend(others.collect::<Vec<_>>());
    }
    let stored = Stored {
        format: FORMAT,
        kernel: forecast.target.kernel.to_string(),
        arch: forecast.target.arch.to_string(),
        when: forecast.when,
        headers: forecast.headers.clone(),
        version: forecast.version.clone(),
        modules: modules
            .iter()
            .map(|one| StoredModule {
                module: one.id.name.to_string(),
                version: one.id.version.to_string(),
                result: one.outlook,
                reason: one.reason.as_ref().map(|text| text.chars().take(LONGEST_REASON).collect()),
                source: one.source.clone(),
                compiler: one.compiler.clone(),
            })
            .collect(),
    };
    // Texts can always be written as JSON.
    let text = serde_json::to_vec_pretty(&stored).unwrap_or_default();
    let path = file(&forecast.target, layout);
    fs::write_whole(&path, &text, 0o644)?;
    make_room(layout, &path)
}

fn make_room(layout: &Layout, kept: &std::path::Path) -> Result<(), FsError> {
    use std::os::unix::fs::MetadataExt;
    let mut files = Vec::new();
    for entry in fs::list(&folder(layout))?.into_iter().filter(|entry| entry.kind.is_file()) {
        let path = folder(layout).join(entry.name);
        let Some(meta) = fs::lstat(&path)?.filter(|_| path != kept) else { continue };
        files.push((meta.mtime(), path));
    }
    files.sort();
    let too_many = (files.len() + 1).saturating_sub(KEPT);
    for (_, path) in files.into_iter().take(too_many) {
        fs::optional(fs::remove_file(&path))?;
    }
    Ok(())
}

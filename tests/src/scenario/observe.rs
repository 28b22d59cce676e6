//! Runs a scenario with one tool in a fresh root, and notes what can be seen after each command.
//!
//! What the original did is recorded in the cache, keyed by everything it depends on;
//! `make test-full` runs it again.

use std::path::Path;

use anyhow::{Context, Result};
use dkms_base::host::fs;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Scenario, Step, status};
use crate::cache::Cache;
use crate::capture::{Listing, capture};
use crate::command::must;
use crate::kernels::Kernels;
use crate::root::{Output, Root};
use crate::tool::Tool;

/// What one command did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observation {
    /// Its exit code.
    pub code: i32,
    /// Its stdout.
    pub stdout: String,
    /// Its stderr.
    pub stderr: String,
    /// What is on disk afterwards.
    pub listing: Listing,
    /// What `status` says afterwards, a line each.
    pub status: Vec<String>,
    /// The same by `status --json`; the original has none.
    pub document: Option<Vec<String>>,
}

/// Bumped when what is recorded changes its meaning.
const FORMAT: u32 = 2;

/// Runs a scenario.
///
/// # Errors
/// Where the set-up fails; what `dkms` does is never an error here.
pub fn observe(
    scenario: &Scenario,
    cache: &Cache,
    kernels: &Kernels,
    tool: &Tool,
) -> Result<Vec<Observation>> {
    let root = Root::new(cache, kernels, &[tool])?;
    let mut folder = "/".to_owned();
    let mut observations = Vec::new();
    for step in &scenario.steps {
        match step {
            Step::Module(module) => module.write_to(&root)?,
            Step::Shell(line) => {
                root.must(line).with_context(|| format!("{} ({})", scenario.at, tool.name))?;
            }
            Step::Folder(dir) => folder.clone_from(dir),
            Step::Command(command) => {
                let line = format!("exec \"$DKMS\" {}", command.words);
                let output = root.shell(&line, command.user, &folder)?;
                let listing = capture(&root)?;
                let status = status::lines(&root.dkms("status")?);
                let document = match tool.name {
                    "ours" => Some(status::of_document(&root.dkms("status --json")?)),
                    _ => None,
                };
                let Output { code, stdout, stderr } = output;
                observations.push(Observation { code, stdout, stderr, listing, status, document });
            }
        }
    }
    Ok(observations)
}

/// What the original did, from the cache where it is known.
///
/// # Errors
/// As [`observe`].
pub fn recorded(
    scenario: &Scenario,
    cache: &Cache,
    kernels: &Kernels,
    tool: &Tool,
) -> Result<Vec<Observation>> {
    let file = cache.at("observations").join(format!("{}.json", key(scenario, kernels, tool)?));
    if fs::is_file(&file)
        && let Ok(known) = serde_json::from_slice(&fs::read(&file)?)
    {
        return Ok(known);
    }
    let observations = observe(scenario, cache, kernels, tool)?;
    fs::create_dir_all(&cache.at("observations"))?;
    fs::write_whole(&file, &serde_json::to_vec(&observations)?, 0o644)?;
    Ok(observations)
}

/// Everything that a recorded observation depends on.
fn key(scenario: &Scenario, kernels: &Kernels, tool: &Tool) -> Result<String> {
    let mut digest = Sha256::new();
    digest.update(FORMAT.to_be_bytes());
    digest.update(include_str!("../root/holder.sh"));
    digest.update(include_str!("../root/mod.rs"));
    digest.update(include_str!("../fixture.rs"));
    digest.update(include_str!("../capture.rs"));
    digest.update(must("gcc", &["-dumpfullversion"], Path::new("/"))?);
    for part in [&scenario.text, &kernels.first, &kernels.second, &tool.version] {
        digest.update([0]);
        digest.update(part);
    }
    Ok(digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

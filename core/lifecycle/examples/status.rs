//! The modules of this system and their states as JSON, from the library. Reads only; needs no root.
//!
//!     cargo run -p dkms-core --example status

use std::error::Error;
use std::io::Write;

use dkms_base::layout::Layout;
use dkms_core::status::{Filter, states};
use dkms_core::tree::Snapshot;

fn main() -> Result<(), Box<dyn Error>> {
    let snapshot = Snapshot::take(&Layout::under("/"))?;
    let lines = states(&snapshot, &Filter::default(), &[], |_, _, _| Vec::new());
    let modules: Vec<_> = lines
        .iter()
        .map(|line| {
            serde_json::json!({
                "module": line.id.name,
                "version": line.id.version,
                "kernel": line.state.target().map(|target| &target.kernel),
                "state": line.state.word(),
            })
        })
        .collect();
    writeln!(std::io::stdout(), "{}", serde_json::to_string_pretty(&modules)?)?;
    Ok(())
}

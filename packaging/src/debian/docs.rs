//! Changelog and copyright, which every Debian package has.

use std::io::{self, Write as _};
use std::path::Path;

use dkms_base::host::{clock, fs};

use super::module::Module;
use crate::error::PackageError;

/// The changelog of one entry. `package` is the source package's name.
pub(super) fn changelog(package: &str, version: &str, text: &str, maintainer: &str, date: u64) -> String {
    let date = clock::rfc2822(date);
    format!("{package} ({version}) unstable; urgency=medium\n\n  * {text}.\n\n -- {maintainer}  {date}\n")
}

/// Whether a version is that of a native package: one whose changelog is Debian's alone.
pub(super) fn is_native(version: &str) -> bool {
    !version.contains('-')
}

/// Compressed as `gzip -9n` does.
pub(super) fn gzip(text: &str) -> io::Result<Vec<u8>> {
    let mut encoder = flate2::GzBuilder::new().mtime(0).write(Vec::new(), flate2::Compression::best());
    encoder.write_all(text.as_bytes())?;
    encoder.finish()
}

/// The source's own `debian/copyright`, or what the modules say of their licence.
pub(super) fn copyright(
    module: &Module<'_>,
    mut licenses: Vec<String>,
    date: u64,
) -> Result<String, PackageError> {
    let own = module.source.join("debian/copyright");
    if fs::is_file(&own) {
        return Ok(fs::read_lossy(&own)?);
    }
    licenses.sort();
    licenses.dedup();
    let names = ["LICENSE", "LICENSE.txt", "LICENSE.md", "LICENCE", "COPYING", "COPYING.txt"];
    let file = names.iter().find(|name| fs::is_file(&module.source.join(name)));
    let id = module.id;
    let mut text = format!(
        "This package was made by `dkms` from the source of {id}, which is in\n/usr/src/{}.\n\n\
         Copyright (C) until {} the authors of {}, who are named in its files.\n",
        id.dir_name(),
        clock::rfc2822(date).split(' ').nth(3).unwrap_or_default(),
        id.name
    );
    if !licenses.is_empty() {
        text.push_str(&format!("\nLicense, as its modules name it: {}\n", licenses.join(", ")));
    }
    if let Some(name) = file {
        text.push_str(&format!("\nThe source's `{name}`:\n\n"));
        for line in fs::read_lossy(&module.source.join(name))?.lines().take(LINES) {
            text.push_str(format!("  {}", line.trim_end()).trim_end());
            text.push('\n');
        }
    }
    if licenses.iter().any(|license| license.contains("GPL")) {
        text.push_str(
            "\nOn Debian systems, the GNU General Public License is in\n/usr/share/common-licenses/GPL-2.\n",
        );
    }
    Ok(text)
}

/// Of a licence's own text: the whole GPL is on each Debian system already.
const LINES: usize = 40;

/// The folder of a package's documents.
pub(super) fn folder(package: &str) -> std::path::PathBuf {
    Path::new("usr/share/doc").join(package)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changelog_is_debians() {
        assert_eq!(
            changelog("foo-dkms", "1:1.0", "Made", "A <a@b.org>", 0),
            "foo-dkms (1:1.0) unstable; urgency=medium\n\n  * Made.\n\n -- A <a@b.org>  Thu, 01 Jan 1970 00:00:00 +0000\n"
        );
        assert!(is_native("1.0~rc1") && !is_native("1.0-1"));
    }
}

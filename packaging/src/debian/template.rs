//! An administrator's or author's own `debian/*` files, which go before ours: the folder `M-dkms-mkdeb` of
//! the source, or `/etc/dkms/template-dkms-mkdeb`. Words in them are replaced; nothing in them is run.

use std::path::{Path, PathBuf};

use dkms_base::host::fs;
use dkms_base::id::ModuleName;
use dkms_base::layout::Layout;

use crate::entries::{Body, Entries};
use crate::error::PackageError;

/// The folder of a template, and what its words mean.
#[derive(Debug, Clone)]
pub struct Template {
    folder: Option<PathBuf>,
    words: Vec<(&'static str, String)>,
}

impl Template {
    /// Looks for the folders of a command (`mkdeb`), in the source first.
    #[must_use]
    pub fn find(source: &Path, layout: &Layout, module: &ModuleName, command: &str) -> Self {
        let places = [
            source.join(format!("{module}-dkms-{command}")),
            layout.etc_dkms().join(format!("template-dkms-{command}")),
        ];
        let folder = places.into_iter().map(|place| place.join("debian")).find(|place| fs::is_dir(place));
        Self { folder, words: Vec::new() }
    }

    /// Says what a word means.
    #[must_use]
    pub fn with(mut self, word: &'static str, meaning: impl Into<String>) -> Self {
        self.words.push((word, meaning.into()));
        self
    }

    /// A file of the template, with its words replaced: `PACKAGE.NAME`, or `NAME`.
    ///
    /// # Errors
    /// [`PackageError::Fs`] where it can't be read.
    pub fn file(&self, package: &str, name: &str) -> Result<Option<(PathBuf, String)>, PackageError> {
        let Some(folder) = &self.folder else { return Ok(None) };
        let mut places =
            [format!("{package}.{name}"), name.to_owned()].map(|name| folder.join(name)).into_iter();
        let Some(path) = places.find(|place| fs::is_file(place)) else { return Ok(None) };
        let text = replace(&fs::read_lossy(&path)?, &self.words);
        Ok(Some((path, text)))
    }

    /// Puts every file of the template below `debian/`, over what is there.
    ///
    /// # Errors
    /// [`PackageError`].
    pub fn put_all(&self, entries: &mut Entries) -> Result<(), PackageError> {
        let Some(folder) = &self.folder else { return Ok(()) };
        let mut own = Entries::default();
        own.tree(folder, Path::new("debian"))?;
        for (name, entry) in own.iter() {
            if let Body::File { path, .. } = &entry.body {
                entries.file(name, replace(&fs::read_lossy(path)?, &self.words), entry.mode | 0o644);
            }
        }
        Ok(())
    }
}

/// Replaces words, each where it stands: what was put in is not looked at again.
fn replace(text: &str, words: &[(&str, String)]) -> String {
    let (mut done, mut rest) = (String::new(), text);
    loop {
        let found = words.iter().filter_map(|(word, meaning)| Some((rest.find(word)?, *word, meaning)));
        let Some((at, word, meaning)) =
            found.min_by_key(|(at, word, _)| (*at, std::cmp::Reverse(word.len())))
        else {
            done.push_str(rest);
            return done;
        };
        done.push_str(&rest[..at]);
        done.push_str(meaning);
        rest = &rest[at + word.len()..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_replaced_once() {
        let words = [("MODULE_NAME", "MODULE_VERSION".to_owned()), ("MODULE_VERSION", "1.0".to_owned())];
        assert_eq!(replace("a MODULE_NAME-MODULE_VERSION b", &words), "a MODULE_VERSION-1.0 b");
    }

    #[test]
    fn the_sources_own_template_goes_first() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::under(dir.path());
        let name = ModuleName::new("foo").unwrap();
        let find =
            || Template::find(&dir.path().join("src"), &layout, &name, "mkdeb").with("MODULE_NAME", "foo");
        let text = |template: Template| template.file("foo-dkms", "prerm").unwrap().map(|(_, text)| text);
        let put = |place: &str, text: &str| {
            let path = dir.path().join(place);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write_whole(&path, text.as_bytes(), 0o644).unwrap();
        };
        assert_eq!(text(find()), None);
        put("etc/dkms/template-dkms-mkdeb/debian/prerm", "etc");
        assert_eq!(text(find()).unwrap(), "etc");
        put("src/foo-dkms-mkdeb/debian/foo-dkms.prerm", "own MODULE_NAME");
        assert_eq!(text(find()).unwrap(), "own foo");
    }
}

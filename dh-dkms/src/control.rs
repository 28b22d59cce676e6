//! `debian/control` as debhelper reads it: packages with their architectures and profiles, and the
//! level of compatibility.

use std::path::Path;

use dkms_base::host::{Environment, fs};

use crate::error::Error;

/// A source package's packages.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Control {
    /// In their order.
    pub packages: Vec<Package>,
    /// The level that the source's paragraph asks for.
    level: Option<u32>,
}

/// A package that is built.
#[derive(Debug, PartialEq, Eq)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// `all`, `any`, or names and patterns of architectures.
    pub architecture: String,
    profiles: Option<String>,
}

impl Package {
    /// Whether it is built with these profiles: `<!a b> <c>` is "not a, but b; or c".
    #[must_use]
    pub fn is_in(&self, profiles: &[String]) -> bool {
        let Some(formula) = &self.profiles else { return true };
        let mut lists = formula.split('<').filter_map(|list| list.split('>').next()).map(str::trim);
        let is_set = |name: &str| profiles.iter().any(|profile| profile == name);
        let mut any = lists.by_ref().filter(|list| !list.is_empty()).peekable();
        any.peek().is_none()
            || any.any(|list| {
                list.split_whitespace().all(|term| match term.strip_prefix('!') {
                    Some(name) => !is_set(name),
                    None => is_set(term),
                })
            })
    }
}

impl Control {
    /// Reads it.
    ///
    /// # Errors
    /// [`Error::Control`] with the line.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let paragraphs = paragraphs(text)?;
        let mut paragraphs = paragraphs.iter();
        let fault = |line: usize, why: &str| Err(Error::Control { line, why: why.to_owned() });
        let Some(source) = paragraphs.next() else { return fault(1, "there is nothing in it") };
        if !source.get("source").is_some_and(is_package_name) {
            return fault(source.line, "the first paragraph has no valid `Source`");
        }
        let depends = source.get("build-depends").unwrap_or_default();
        let asked = depends.split(',').find_map(level_in).or_else(|| source.get("x-dh-compat")?.parse().ok());
        let mut control = Self { packages: Vec::new(), level: asked };
        for paragraph in paragraphs {
            let Some(name) = paragraph.get("package").filter(|name| is_package_name(name)) else {
                return fault(paragraph.line, "a paragraph has no valid `Package`");
            };
            if control.packages.iter().any(|package| package.name == name) {
                return fault(paragraph.line, &format!("`{name}` is there twice"));
            }
            control.packages.push(Package {
                name: name.to_owned(),
                architecture: paragraph.get("architecture").unwrap_or_default().to_owned(),
                profiles: paragraph.get("build-profiles").map(str::to_owned),
            });
        }
        Ok(control)
    }
}

/// The level of `debhelper-compat (= 13)`.
fn level_in(dependency: &str) -> Option<u32> {
    let rest = dependency.trim().strip_prefix("debhelper-compat")?.trim_start();
    rest.strip_prefix('(')?.strip_suffix(')')?.trim().strip_prefix('=')?.trim().parse().ok()
}

fn is_package_name(name: &str) -> bool {
    let rest = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"+-.".contains(&byte);
    name.len() > 1 && name.bytes().all(rest) && name.as_bytes()[0].is_ascii_alphanumeric()
}

/// A paragraph's fields by name in lower case.
struct Paragraph {
    line: usize,
    fields: Vec<(String, String)>,
}

impl Paragraph {
    fn get(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.trim())
    }
}

fn paragraphs(text: &str) -> Result<Vec<Paragraph>, Error> {
    let mut all: Vec<Paragraph> = Vec::new();
    let mut is_open = false;
    for (index, line) in text.lines().enumerate() {
        let fault = |why: String| Err(Error::Control { line: index + 1, why });
        if line.starts_with('#') {
            continue;
        }
        let line = line.trim_end();
        if line.is_empty() {
            is_open = false;
            continue;
        }
        if !is_open {
            all.push(Paragraph { line: index + 1, fields: Vec::new() });
            is_open = true;
        }
        let Some(Paragraph { fields, .. }) = all.last_mut() else { continue };
        if line.starts_with([' ', '\t']) {
            let Some((_, value)) = fields.last_mut() else {
                return fault("a paragraph begins with a blank".to_owned());
            };
            value.push(' ');
            value.push_str(line.trim());
            continue;
        }
        let Some((name, value)) = line.split_once(':') else {
            return fault(format!("`{line}` is no field"));
        };
        let name = name.to_ascii_lowercase();
        if fields.iter().any(|(known, _)| *known == name) {
            return fault(format!("`{name}` is there twice"));
        }
        fields.push((name, value.trim().to_owned()));
    }
    Ok(all)
}

/// The level of compatibility; without any, what was before there were levels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Compat(pub u32);

impl Compat {
    /// From `debian/compat`, `debian/control` and `DH_COMPAT`.
    ///
    /// # Errors
    /// [`Error::Compat`] where it is no number.
    pub fn find(control: &Control, environment: &Environment) -> Result<Self, Error> {
        let number = |text: &str, from: &str| {
            let fault = |_| Error::Compat(format!("`{}` in {from} is no number", text.trim()));
            text.trim().parse::<u32>().map_err(fault)
        };
        let file = Path::new("debian/compat");
        let declared = match control.level {
            Some(level) => level,
            None if fs::is_file(file) => {
                number(fs::read_lossy(file)?.lines().next().unwrap_or_default(), "`debian/compat`")?
            }
            None => 1,
        };
        match environment.get_filled("DH_COMPAT") {
            Some(text) => Ok(Self(number(text, "the variable DH_COMPAT")?)),
            None => Ok(Self(declared)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_read_as_debhelper_reads_it() {
        let text = "# a comment\n\nSource: foo\nBuild-Depends: dh-dkms,\n# inside\n debhelper-compat (= 13),\n x\n\n\
                    Package: foo-dkms\nArchitecture: linux-any\n kfreebsd-any\nBuild-Profiles: <!nodoc> <x y>\n\n\nPackage: b2\n";
        let control = Control::parse(text).unwrap();
        assert_eq!(control.level, Some(13));
        let [foo, b2] = control.packages.as_slice() else { panic!("{control:?}") };
        assert_eq!((foo.name.as_str(), foo.architecture.as_str()), ("foo-dkms", "linux-any kfreebsd-any"));
        assert_eq!(b2.architecture, "");
        let built = |profiles: &[&str]| {
            foo.is_in(&profiles.iter().map(|profile| (*profile).to_owned()).collect::<Vec<_>>())
        };
        assert!(built(&[]) && !built(&["nodoc"]) && built(&["nodoc", "x", "y"]) && !built(&["nodoc", "x"]));
    }

    #[test]
    fn what_is_no_control_file_is_said_with_its_line() {
        for (text, line) in [
            ("", "line 1"),
            ("Package: a2\n", "line 1"),
            ("Source: aa\n\nPackage: b2\n\nPackage: b2\n", "line 5"),
            ("Source: aa\nSource: b\n", "line 2"),
            ("Source: aa\nwhat\n", "line 2"),
            (" x\n", "line 1"),
            ("Source: aa\n\nPackage: ../x\n", "line 3"),
        ] {
            let error = Control::parse(text).unwrap_err();
            assert!(error.to_string().contains(line), "{text:?}: {error}");
        }
    }
}

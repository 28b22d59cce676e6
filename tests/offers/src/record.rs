//! Records of packages, as `apt-cache show` prints them, and whether what they depend on can be had.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use crate::version::compare;

/// A package as it can be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Record<'a> {
    pub(crate) version: &'a str,
    depends: &'a str,
    pre_depends: &'a str,
    provides: &'a str,
    /// It is installed and has no candidate: others can depend on it, but it can't be fetched.
    pub(crate) only_installed: bool,
}

/// The version of a package in apt's answer about it, none if it has no candidate.
#[must_use]
pub fn candidate<'a>(answer: &'a str, package: &str) -> Option<&'a str> {
    records(answer).get(package).map(|record| record.version)
}

/// The records of an answer by their packages' names; of several versions the first, which is the candidate.
pub(crate) fn records(answer: &str) -> BTreeMap<&str, Record<'_>> {
    let mut all = BTreeMap::new();
    for paragraph in answer.split("\n\n") {
        let field = |name: &str| {
            let mut fields = paragraph.lines().filter_map(|line| line.split_once(':'));
            fields.find(|(field, _)| *field == name).map(|(_, value)| value.trim()).unwrap_or_default()
        };
        let record = Record {
            version: field("Version"),
            depends: field("Depends"),
            pre_depends: field("Pre-Depends"),
            provides: field("Provides"),
            only_installed: !field("Only-Installed").is_empty(),
        };
        if !record.version.is_empty() {
            all.entry(field("Package")).or_insert(record);
        }
    }
    all
}

/// Whether a package can be had with all that it depends on. Only packages named `linux-…` are looked at: apt
/// was asked about no others.
pub(crate) fn is_complete(all: &BTreeMap<&str, Record<'_>>, package: &str) -> bool {
    let mut seen = Vec::new();
    complete(all, package, &mut seen)
}

fn complete<'a>(all: &BTreeMap<&'a str, Record<'a>>, package: &str, seen: &mut Vec<String>) -> bool {
    if seen.iter().any(|name| name == package) {
        return true;
    }
    seen.push(package.to_owned());
    let Some(record) = all.get(package) else {
        return all.values().any(|other| other.provides.split(',').any(|name| word(name) == package));
    };
    let groups = record.depends.split(',').chain(record.pre_depends.split(','));
    groups.filter(|group| !group.trim().is_empty()).all(|group| {
        group.split('|').any(|wanted| {
            let name = word(wanted);
            !name.starts_with("linux-") || (fits(all.get(name), wanted) && complete(all, name, seen))
        })
    })
}

/// The name at the beginning of `linux-kbuild-6.1 (>= 6.1.4)` or `linux-base:any`.
fn word(wanted: &str) -> &str {
    wanted.trim().split([' ', '(', ':']).next().unwrap_or_default()
}

/// Whether a record, if there is one, has the version that is asked for.
fn fits(record: Option<&Record<'_>>, wanted: &str) -> bool {
    let Some(record) = record else { return true };
    let Some((_, condition)) = wanted.split_once('(') else { return true };
    let condition = condition.trim_end().trim_end_matches(')');
    let (relation, version) = condition.split_at(condition.find(|c: char| !"<>=".contains(c)).unwrap_or(0));
    let order = compare(record.version, version.trim());
    match relation {
        "<<" => order == Ordering::Less,
        "<=" => order != Ordering::Greater,
        "=" => order == Ordering::Equal,
        ">=" => order != Ordering::Less,
        ">>" => order == Ordering::Greater,
        _ => true,
    }
}

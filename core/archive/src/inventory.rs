//! Everything that an archive holds, by name: admits entries one after the other and follows links in memory.
//! Pure; what is on disk is only ever what was admitted here.

use std::collections::{BTreeMap, VecDeque};
use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

use super::error::Fault;
use super::limits::{Exceeded, Limits};
use super::name;

/// SHA-256 of a file.
pub(super) type Digest = [u8; 32];

/// One thing that an archive holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Item {
    /// A folder; one that only its contents imply may still be named later.
    Folder {
        /// Whether an entry of its own named it.
        named: bool,
    },
    /// A file.
    File {
        /// Its size.
        size: u64,
        /// Its hash, once its contents were read.
        digest: Digest,
    },
    /// A symbolic link, and where it points.
    Link(PathBuf),
    /// A FIFO. None is made: it is no part of a source.
    Fifo,
}

/// Why an entry isn't admitted.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Rejected {
    Fault(Fault),
    Exceeded(Exceeded),
}

impl From<Fault> for Rejected {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// How many links may be followed for one; the kernel allows 40.
const MOST_HOPS: usize = 40;
/// How many steps may be taken for all links together, so that tangled ones cost no time.
const MOST_STEPS: usize = 4_000_000;

/// Everything that an archive holds.
#[derive(Debug)]
pub(super) struct Inventory {
    items: BTreeMap<PathBuf, Item>,
    bytes: u64,
    name_bytes: usize,
    limits: Limits,
}

impl Inventory {
    pub(super) fn new(limits: Limits) -> Self {
        Self { items: BTreeMap::new(), bytes: 0, name_bytes: 0, limits }
    }

    /// Takes an entry in, and the folders above it.
    pub(super) fn admit(&mut self, path: &Path, item: Item) -> Result<(), Rejected> {
        match &item {
            Item::File { size, .. } => {
                self.bytes = self.bytes.saturating_add(*size);
                if self.bytes > self.limits.bytes {
                    return Err(Rejected::Exceeded(Exceeded::Bytes(self.limits.bytes)));
                }
            }
            Item::Link(target) => self.charge_name(target)?,
            Item::Folder { .. } | Item::Fifo => {}
        }
        for above in folders_above(path) {
            match self.items.get(above) {
                Some(Item::Folder { .. }) => {}
                Some(_) => return Err(Fault::BelowNoFolder(name::shown_path(above)).into()),
                None => self.insert(above, Item::Folder { named: false })?,
            }
        }
        match (self.items.get_mut(path), &item) {
            (None, _) => self.insert(path, item),
            (Some(Item::Folder { named: named @ false }), Item::Folder { .. }) => {
                *named = true;
                Ok(())
            }
            (Some(_), _) => Err(Fault::Twice.into()),
        }
    }

    fn insert(&mut self, path: &Path, item: Item) -> Result<(), Rejected> {
        self.charge_name(path)?;
        if self.items.len() >= self.limits.entries {
            return Err(Rejected::Exceeded(Exceeded::Entries(self.limits.entries)));
        }
        self.items.insert(path.to_owned(), item);
        Ok(())
    }

    fn charge_name(&mut self, path: &Path) -> Result<(), Rejected> {
        self.name_bytes += path.as_os_str().len();
        if self.name_bytes > self.limits.name_bytes {
            return Err(Rejected::Exceeded(Exceeded::NameBytes(self.limits.name_bytes)));
        }
        Ok(())
    }

    /// Notes a file's hash.
    pub(super) fn set_digest(&mut self, path: &Path, new: Digest) {
        if let Some(Item::File { digest, .. }) = self.items.get_mut(path) {
            *digest = new;
        }
    }

    /// What is at a path itself. The archive's root is a folder.
    pub(super) fn get(&self, path: &Path) -> Option<&Item> {
        if path == Path::new("") {
            return Some(&Item::Folder { named: true });
        }
        self.items.get(path)
    }

    pub(super) fn is_folder(&self, path: &Path) -> bool {
        matches!(self.get(path), Some(Item::Folder { .. }))
    }

    /// Whether a path is a file, or a link that leads to one within `root`.
    pub(super) fn leads_to_file(&self, root: &Path, path: &Path) -> bool {
        match self.get(path) {
            Some(Item::File { .. }) => true,
            Some(Item::Link(_)) => self
                .resolve(root, path, &mut 0)
                .is_ok_and(|end| matches!(self.get(&end), Some(Item::File { .. }))),
            _ => false,
        }
    }

    /// All items, by name.
    pub(super) fn items(&self) -> impl Iterator<Item = (&Path, &Item)> {
        self.items.iter().map(|(path, item)| (path.as_path(), item))
    }

    /// The FIFOs, by name.
    pub(super) fn fifos(&self) -> impl Iterator<Item = &Path> {
        self.items().filter(|(_, item)| **item == Item::Fifo).map(|(path, _)| path)
    }

    /// What lies directly in a folder: names and items.
    pub(super) fn children<'a>(&'a self, folder: &'a Path) -> impl Iterator<Item = (&'a Path, &'a Item)> {
        self.items
            .range::<Path, _>((std::ops::Bound::Excluded(folder), std::ops::Bound::Unbounded))
            .map(|(path, item)| (path.as_path(), item))
            .take_while(move |(path, _)| path.starts_with(folder))
            .filter(move |(path, _)| path.parent() == Some(folder))
    }

    /// Checks that no link leads out: of that one of `roots` that it lies in, or of the archive.
    ///
    /// # Errors
    /// The link, and what is wrong with it.
    pub(super) fn check_links(&self, roots: &[PathBuf]) -> Result<(), (PathBuf, Fault)> {
        let mut steps = 0;
        for (path, item) in self.items() {
            if matches!(item, Item::Link(_)) {
                let root =
                    roots.iter().find(|root| path.starts_with(root)).map_or(Path::new(""), PathBuf::as_path);
                self.resolve(root, path, &mut steps).map_err(|fault| (path.to_owned(), fault))?;
            }
        }
        Ok(())
    }

    /// Where a link ends, all links on the way followed as the kernel would, below `root`.
    fn resolve(&self, root: &Path, link: &Path, steps: &mut usize) -> Result<PathBuf, Fault> {
        let Some(Item::Link(first)) = self.get(link) else { return Ok(link.to_owned()) };
        let shown = || name::shown_path(first);
        let mut done = link.parent().unwrap_or(Path::new("")).to_owned();
        let mut todo = VecDeque::new();
        let mut hops = 0;
        queue(&mut todo, first);
        while let Some(step) = todo.pop_front() {
            *steps += 1;
            if *steps > MOST_STEPS {
                return Err(Fault::Circle(shown()));
            }
            match step {
                Step::Root => return Err(Fault::LeadsOut(shown())),
                Step::Up if done == root => return Err(Fault::LeadsOut(shown())),
                Step::Up => {
                    done.pop();
                }
                Step::Down(part) => {
                    done.push(part);
                    if let Some(Item::Link(next)) = self.get(&done) {
                        hops += 1;
                        if hops > MOST_HOPS {
                            return Err(Fault::Circle(shown()));
                        }
                        done.pop();
                        queue(&mut todo, next);
                    }
                }
            }
        }
        Ok(done)
    }
}

/// One step of a path.
enum Step {
    Root,
    Up,
    Down(OsString),
}

/// Puts the steps of a link's target before those that are left.
fn queue(todo: &mut VecDeque<Step>, target: &Path) {
    for part in target.components().rev() {
        match part {
            Component::CurDir => {}
            Component::RootDir | Component::Prefix(_) => todo.push_front(Step::Root),
            Component::ParentDir => todo.push_front(Step::Up),
            Component::Normal(part) => todo.push_front(Step::Down(part.to_owned())),
        }
    }
}

/// The folders above a path, outermost first, without the archive's root.
fn folders_above(path: &Path) -> Vec<&Path> {
    let mut above: Vec<&Path> = path.ancestors().skip(1).filter(|folder| *folder != Path::new("")).collect();
    above.reverse();
    above
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> Item {
        Item::File { size: 1, digest: [0; 32] }
    }

    fn link(target: &str) -> Item {
        Item::Link(target.into())
    }

    fn inventory(items: &[(&str, Item)]) -> Inventory {
        let mut inventory = Inventory::new(Limits::default());
        for (path, item) in items {
            inventory.admit(Path::new(path), item.clone()).unwrap();
        }
        inventory
    }

    #[test]
    fn a_folder_may_be_named_after_its_contents_but_once() {
        let mut inventory = inventory(&[("a/b", file())]);
        let folder = Item::Folder { named: true };
        assert_eq!(inventory.admit(Path::new("a"), folder.clone()), Ok(()));
        assert_eq!(inventory.admit(Path::new("a"), folder), Err(Fault::Twice.into()));
        assert_eq!(inventory.admit(Path::new("a/b"), file()), Err(Fault::Twice.into()));
        assert_eq!(
            inventory.admit(Path::new("a/b/c"), file()),
            Err(Fault::BelowNoFolder("a/b".into()).into())
        );
    }

    #[test]
    fn links_are_followed_through_links() {
        // `d/up` is the root itself, so `d/up/../x` leads out although its text doesn't.
        let tangled = inventory(&[("d/up", link("..")), ("out", link("d/up/../x"))]);
        assert_eq!(tangled.check_links(&[]).unwrap_err().0, Path::new("out"));
        let honest = inventory(&[
            ("r/d/e/f", file()),
            ("r/a", link("d/e")),
            ("r/b", link("a/../e/f")),
            ("r/d/c", link("../nowhere/../b")),
        ]);
        assert_eq!(honest.check_links(&["r".into()]), Ok(()));
        assert!(honest.leads_to_file(Path::new("r"), Path::new("r/d/c")));
        assert!(!honest.leads_to_file(Path::new("r"), Path::new("r/a")));
    }

    #[test]
    fn links_out_of_a_part_of_the_archive_are_found() {
        let inventory = inventory(&[("r/a", link("../s/x")), ("s/x", file())]);
        assert_eq!(inventory.check_links(&[]), Ok(()));
        assert!(matches!(inventory.check_links(&["r".into()]), Err((_, Fault::LeadsOut(_)))));
    }

    #[test]
    fn circles_end() {
        let inventory = inventory(&[("a", link("b")), ("b", link("a"))]);
        assert!(matches!(inventory.check_links(&[]), Err((_, Fault::Circle(_)))));
    }

    #[test]
    fn children_are_those_of_one_folder() {
        let inventory = inventory(&[("a/b/c", file()), ("a/b.x", file()), ("a/d", file()), ("ab/e", file())]);
        let children: Vec<_> = inventory.children(Path::new("a")).map(|(path, _)| path.to_owned()).collect();
        assert_eq!(children, [Path::new("a/b"), Path::new("a/b.x"), Path::new("a/d")]);
        assert_eq!(inventory.children(Path::new("")).count(), 2);
    }
}

//! Whether another user than root and we could change what is at a path: the file, each folder on the way,
//! and where links lead.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::ffi::OsString;
use std::fmt;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use super::fs::{self, FsError};
use super::process::quote;

/// The first place on the way to a path at which another user decides what is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The path that was asked about.
    pub path: PathBuf,
    /// The place: the path itself, a folder above it, or one that a link leads through.
    pub place: PathBuf,
    /// The place's owner, if that is neither root nor we.
    pub owner: Option<u32>,
    /// Whether group or others may write to it.
    pub is_open: bool,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, place, owner, is_open } = self;
        write!(f, "`{}` ", place.display())?;
        match (owner, is_open) {
            (Some(owner), false) => write!(f, "is not owned by root (but by user {owner})")?,
            (None, _) => f.write_str("is writable by group or others")?,
            (Some(owner), true) => {
                write!(f, "is not owned by root (but by user {owner}), and is writable by group or others")?;
            }
        }
        if path == place {
            f.write_str(": a user who may write it decides what root runs")
        } else {
            write!(f, ": a user who may write it decides what root finds as `{}`", path.display())
        }
    }
}

impl Fault {
    /// The command that fixes it.
    #[must_use]
    pub fn mend(&self) -> String {
        let word = quote(&self.place.to_string_lossy());
        match (self.owner, self.is_open) {
            (Some(_), false) => format!("chown root {word}"),
            (None, _) => format!("chmod go-w {word}"),
            (Some(_), true) => format!("chown root {word} && chmod go-w {word}"),
        }
    }
}

/// More links than any path goes through.
const MOST_LINKS: usize = 40;

/// Why another user could change what is at a path; `None`: nobody could, or nothing is there.
///
/// Modes say it all, also of a file with an access control list (acl(5)). Not seen are the lists
/// of NFSv4, which its server judges.
///
/// A folder that all users may write to, but in which nobody may rename what is another's (`/tmp`), is
/// sound for what is root's.
#[must_use]
pub fn fault(path: &Path) -> Option<Fault> {
    Places::default().fault(path)
}

/// Places that were looked at, for many paths that share folders: each is looked at once.
#[derive(Debug, Default)]
pub struct Places {
    /// By path; as a text it is hashed in one go.
    known: RefCell<HashMap<OsString, Option<Place>>>,
}

/// What is at a place.
#[derive(Debug, Clone)]
struct Place {
    /// Where it leads, if it is a link.
    link: Option<PathBuf>,
    /// Its owner, if that is neither root nor we, and whether group or others may write to it; `None`: nobody
    /// else decides what is there.
    fault: Option<(Option<u32>, bool)>,
}

impl Places {
    /// As [`fault`], of places as they were when they were first looked at.
    #[must_use]
    pub fn fault(&self, path: &Path) -> Option<Fault> {
        let absolute = std::path::absolute(path).ok()?;
        let mut left: VecDeque<OsString> = names(&absolute);
        let mut at = PathBuf::from("/");
        let mut links = 0;
        let fault = |at: &Path, seen: &Place| {
            let (owner, is_open) = seen.fault?;
            Some(Fault { path: path.to_owned(), place: at.to_owned(), owner, is_open })
        };
        if let Some(fault) = self.at(&at).and_then(|seen| fault(&at, &seen)) {
            return Some(fault);
        }
        while let Some(name) = left.pop_front() {
            if name == ".." {
                at.pop();
                continue;
            }
            let next = at.join(&name);
            let seen = self.at(&next)?;
            if let Some(fault) = fault(&next, &seen) {
                return Some(fault);
            }
            let Some(target) = seen.link else {
                at = next;
                continue;
            };
            links += 1;
            if links > MOST_LINKS {
                return None;
            }
            if target.is_absolute() {
                at = PathBuf::from("/");
            }
            names(&target).into_iter().rev().for_each(|name| left.push_front(name));
        }
        None
    }

    /// The same where we are root; other users decide for themselves only.
    #[must_use]
    pub fn fault_for_root(&self, path: &Path) -> Option<Fault> {
        rustix::process::geteuid().is_root().then(|| self.fault(path)).flatten()
    }

    /// What is at a place; `None`: nothing, or it can't be looked at.
    fn at(&self, place: &Path) -> Option<Place> {
        if let Some(known) = self.known.borrow().get(place.as_os_str()) {
            return known.clone();
        }
        let look = || {
            let meta = fs::lstat(place).ok()??;
            let link = if meta.is_symlink() { Some(fs::link_target(place).ok()??) } else { None };
            Some(Place { link, fault: of(place, &meta) })
        };
        let seen = look();
        self.known.borrow_mut().insert(place.into(), seen.clone());
        seen
    }
}

/// The same where we are root; other users decide for themselves only.
#[must_use]
pub fn fault_for_root(path: &Path) -> Option<Fault> {
    Places::default().fault_for_root(path)
}

/// A path without its links, none of which shows its maker what they may not see: one that another user
/// made, or could exchange, must belong to the owner of what the path leads to.
///
/// # Errors
/// [`FsError`] where it leads nowhere, or through such a link.
pub fn resolved(path: &Path) -> Result<PathBuf, FsError> {
    let naming = |source| FsError { verb: "resolve", path: path.to_owned(), source };
    let mut left = names(&std::path::absolute(path).map_err(naming)?);
    let mut at = PathBuf::from("/");
    let is_ours = |place: &Path, meta: &Metadata| of(place, meta).is_none();
    let mut is_sound = fs::lstat(&at)?.is_none_or(|meta| is_ours(&at, &meta));
    let mut foreign: Vec<(PathBuf, u32)> = Vec::new();
    let mut links = 0;
    while let Some(name) = left.pop_front() {
        if name == ".." {
            at.pop();
            continue;
        }
        let next = at.join(&name);
        let meta = fs::lstat(&next)?.ok_or_else(|| naming(std::io::ErrorKind::NotFound.into()))?;
        is_sound = is_sound && is_ours(&next, &meta);
        if !meta.is_symlink() {
            at = next;
            continue;
        }
        links += 1;
        if links > MOST_LINKS {
            return Err(naming(rustix::io::Errno::LOOP.into()));
        }
        if !is_sound {
            foreign.push((next.clone(), meta.uid()));
        }
        let target = fs::link_target(&next)?.ok_or_else(|| naming(std::io::ErrorKind::NotFound.into()))?;
        if target.is_absolute() {
            at = PathBuf::from("/");
        }
        names(&target).into_iter().rev().for_each(|name| left.push_front(name));
    }
    let owner = fs::lstat(&at)?.map(|meta| meta.uid());
    match foreign.into_iter().find(|(_, maker)| Some(*maker) != owner) {
        None => Ok(at),
        Some((link, _)) => {
            let text = format!("the link `{}` leads to a file of another owner", link.display());
            Err(naming(std::io::Error::new(std::io::ErrorKind::PermissionDenied, text)))
        }
    }
}

/// Whether root, or we, can make a folder in this one that nobody else can exchange.
#[must_use]
pub fn is_for_staging(folder: &Path) -> bool {
    fs::is_dir(folder) && fault(folder).is_none()
}

/// The system's folder for temporary files.
#[must_use]
pub fn staging_folder() -> &'static Path {
    let others = ["/tmp", "/var/tmp"].map(Path::new);
    others.into_iter().find(|folder| is_for_staging(folder)).unwrap_or(others[0])
}

fn names(path: &Path) -> VecDeque<OsString> {
    let name = |part: Component<'_>| match part {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some(OsString::from("..")),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    };
    path.components().filter_map(name).collect()
}

/// Who else decides what is at a place: its owner, if that is neither root nor we, and whether group or
/// others may write to it.
fn of(place: &Path, meta: &Metadata) -> Option<(Option<u32>, bool)> {
    const STICKY: u32 = 0o1000;
    let us = rustix::process::geteuid().as_raw();
    let owner = Some(meta.uid()).filter(|uid| *uid != 0 && *uid != us);
    let is_shared = meta.is_dir() && meta.mode() & STICKY != 0;
    // With a list the bits of the group are those of all whom it names; without them it lets nobody write.
    let group_counts = || !(meta.is_dir() && is_empty_group(meta.gid())) || super::access_list::is_at(place);
    let may_write = |who: u32| meta.mode() & who != 0;
    // The mode of a link says nothing.
    let is_open =
        !meta.is_symlink() && !is_shared && (may_write(0o002) || may_write(0o020) && group_counts());
    (owner.is_some() || is_open).then_some((owner, is_open))
}

/// Whether a group is the system's and has nobody in it: `/usr/src` is such a group's (`src`) on
/// older Debian systems.
fn is_empty_group(group: u32) -> bool {
    const FIRST_OF_PEOPLE: u32 = 1000;
    let read = |file: &str| fs::read_lossy(Path::new(file)).unwrap_or_default();
    let field =
        |line: &str, number: usize| line.split(':').nth(number).map(str::to_owned).unwrap_or_default();
    let number = group.to_string();
    let has_members =
        || read("/etc/group").lines().any(|line| field(line, 2) == number && !field(line, 3).is_empty());
    let is_somebodys =
        || read("/etc/passwd").lines().any(|line| field(line, 3) == number && field(line, 2) != "0");
    group < FIRST_OF_PEOPLE && !has_members() && !is_somebodys()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_shows_its_maker_only_what_is_theirs() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let (bobs, alices) = (root.join("bob"), root.join("alice"));
        for (folder, owner) in [(&bobs, 12345), (&alices, 12346)] {
            fs::create_dir_all(&folder.join("own")).unwrap();
            fs::give_to(folder, owner, owner);
            fs::give_to(&folder.join("own"), owner, owner);
        }
        let link = |name: &str, to: &Path, owner| {
            fs::symlink(to, &root.join(name)).unwrap();
            fs::give_to(&root.join(name), owner, owner);
            resolved(&root.join(name))
        };
        assert_eq!(link("ours", &bobs.join("own"), 0).unwrap(), bobs.join("own"));
        assert_eq!(link("bob/a", Path::new("own"), 12345).unwrap(), bobs.join("own"));
        assert!(link("bob/b", &alices.join("own"), 12345).is_err());
        assert!(link("bob/c", Path::new("/etc"), 12345).is_err());
        assert!(link("through", &bobs.join("b"), 0).is_err(), "a link of root's leads to one of bob's");
        assert!(resolved(&bobs.join("c/passwd")).is_err());
        assert!(resolved(&root.join("none")).unwrap_err().is_not_found());
    }

    #[test]
    fn whom_a_list_lets_write_counts() {
        use super::super::access_list::testing::name;
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        // Nobody is in root's group.
        fs::set_mode(&root, 0o775).unwrap();
        let file = root.join("file");
        fs::write_whole(&file, b"", 0o644).unwrap();
        assert_eq!(fault(&file), None);
        name(12345, &root, false);
        assert_eq!(fault(&file).unwrap().place, root, "the list names a user");
        let mended = fault(&file).unwrap().mend();
        assert!(mended.starts_with("chmod go-w "), "{mended}");
        // As that does. The mask lets the named user only read then.
        fs::set_mode(&root, 0o755).unwrap();
        assert_eq!(fault(&file), None);
        let writes = |path: &Path| {
            let path = path.to_owned();
            let as_user = move || {
                let user = rustix::fs::Uid::from_raw(12345);
                rustix::thread::set_thread_res_uid(user, user, user).unwrap();
                rustix::fs::access(&path, rustix::fs::Access::WRITE_OK).is_ok()
            };
            std::thread::spawn(as_user).join().unwrap()
        };
        assert!(!writes(&root));
        name(12345, &file, false);
        assert_eq!(fault(&file).unwrap().place, file);
        // What a folder hands down is no more than what we make things with.
        name(12345, &root, true);
        for (made, is_folder) in
            [(root.join("made"), true), (root.join("copy"), false), (root.join("new"), false)]
        {
            match (is_folder, made.ends_with("copy")) {
                (true, _) => fs::create_dir_all(&made).unwrap(),
                (_, true) => fs::copy_content(&root.join("file"), &made, 0o644).unwrap(),
                _ => fs::write_whole(&made, b"", 0o644).unwrap(),
            }
            assert!(super::super::access_list::is_at(&made) && !writes(&made), "{made:?}");
            assert_eq!(fault(&made), None);
        }
        fs::set_mode(&root.join("new"), 0o664).unwrap();
        assert_eq!(fault(&root.join("new")).unwrap().place, root.join("new"));
    }

    #[test]
    fn each_place_on_the_way_counts() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let file = root.join("a/b/file");
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write_whole(&file, b"", 0o644).unwrap();
        assert_eq!(fault(&file), None);
        assert_eq!(fault(&root.join("missing")), None);
        let place_of = |path: &Path| fault(path).map(|fault| fault.place);
        for place in ["a/b/file", "a/b", "a"].map(|place| root.join(place)) {
            let mode = if place == file { 0o644 } else { 0o755 };
            fs::set_mode(&place, mode | 0o002).unwrap();
            assert_eq!(place_of(&file), Some(place.clone()));
            fs::set_mode(&place, mode).unwrap();
            fs::give_to(&place, 12345, 12345);
            assert_eq!(place_of(&file), Some(place.clone()));
            assert!(fault(&file).unwrap().mend().starts_with("chown root "));
            fs::give_to(&place, 0, 0);
        }
        fs::symlink(&file, &root.join("link")).unwrap();
        assert_eq!(fault(&root.join("link")), None);
        let places = Places::default();
        assert_eq!(places.fault(&file), None);
        fs::set_mode(&root.join("a"), 0o777).unwrap();
        assert_eq!(places.fault(&root.join("link")), None, "each place is looked at once");
        assert_eq!(place_of(&root.join("link")), Some(root.join("a")));
        fs::set_mode(&root.join("a"), 0o755).unwrap();
        fs::give_to(&root.join("a"), 12345, 0);
        assert_eq!(place_of(&root.join("link")), Some(root.join("a")));
        fs::give_to(&root.join("a"), 0, 0);
        fs::give_to(&root.join("link"), 12345, 0);
        assert_eq!(place_of(&root.join("link")), Some(root.join("link")), "a link of another user");
        fs::set_mode(&root.join("a/b"), 0o1777).unwrap();
        assert_eq!(fault(&file), None, "nobody can rename in it what is root's");
        assert!(is_for_staging(&root.join("a/b")) && !is_for_staging(&file));
        fs::give_to(&root.join("a"), 12345, 0);
        assert!(!is_for_staging(&root.join("a/b")), "its owner can exchange what root makes there");
    }
}

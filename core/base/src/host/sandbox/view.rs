//! What is seen in a sandbox: the system as it is, read-only, but for what is hidden, what is shown
//! nevertheless, and the few places that can be written.

use std::ffi::{CString, NulError};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::Wanted;
use super::account::Account;
use super::building::{Building, DEVICES, NOTHING, devices, new_tmpfs, scratch_size, text};
use super::inputs::{How, Input, Inputs};
use crate::host::fs;
use crate::sys::{Act, Tree};

/// Folders in whose place every process gets an empty one.
const REPLACED: [(&str, Kind); 6] = [
    ("/dev", Kind::Devices),
    ("/tmp", Kind::Scratch),
    ("/var/tmp", Kind::Scratch),
    ("/root", Kind::Home),
    ("/home", Kind::Home),
    // Sockets of services: a read-only mount doesn't keep anyone from talking to them.
    ("/run", Kind::StandIn),
];

/// Whether a path lies in a folder that the sandbox replaces by an empty one.
#[must_use]
pub fn hides(path: &Path) -> bool {
    REPLACED.iter().any(|(folder, kind)| !matches!(kind, Kind::Devices) && path.starts_with(folder))
}

/// What is never seen, besides the keys that the settings name.
const SECRET: [&str; 8] = [
    "/etc/ssl/private",
    "/etc/pki/private",
    "/etc/shadow",
    "/etc/shadow-",
    "/etc/gshadow",
    "/etc/gshadow-",
    "/etc/sudoers",
    "/var/lib/shim-signed/mok",
];

/// Where what is written to a layer goes.
const LAYER: &str = "/dev/.layer";
/// Where copies of what only root may read are.
const COPIES: &str = "/dev/.copies";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Devices,
    Scratch,
    Home,
    /// Empty but for what is shown in it.
    StandIn,
}

/// What a process sees.
#[derive(Debug)]
pub(super) struct View {
    owner: Option<Account>,
    /// What can be written, and where it is seen.
    pub(super) folders: Vec<(PathBuf, PathBuf)>,
    layer: Option<PathBuf>,
    replaced: Vec<(PathBuf, Kind)>,
    /// What is shown in what is replaced; whether it can be written.
    shown: Vec<(PathBuf, bool)>,
    secret: Vec<PathBuf>,
    /// What only root may read, and these processes too.
    pub(super) inputs: Inputs,
    /// The places where inputs are seen, each with its number in `inputs`.
    places: Vec<(PathBuf, usize)>,
    /// Links to inputs that lie in what is replaced, and where each input is.
    links: Vec<(PathBuf, PathBuf)>,
    home: Option<PathBuf>,
    /// Devices besides those that every program may expect.
    devices: Vec<PathBuf>,
    /// There is a ccache folder that isn't the build user's own.
    pub(super) has_shared_ccache: bool,
}

impl View {
    /// The view that is wanted, for processes of `owner` (`None`: our own).
    pub(super) fn of(wanted: &Wanted<'_>, owner: Option<Account>) -> Self {
        let mut view = Self {
            owner,
            folders: wanted.folders.iter().map(|(folder, seen)| ((*folder).into(), (*seen).into())).collect(),
            layer: wanted.layer.map(Path::to_owned).filter(|layer| fs::is_dir(layer)),
            replaced: Vec::new(),
            shown: Vec::new(),
            secret: Vec::new(),
            inputs: Inputs::default(),
            places: Vec::new(),
            links: Vec::new(),
            home: wanted.environment.get_filled("HOME").map(PathBuf::from),
            devices: wanted.devices.clone(),
            has_shared_ccache: false,
        };
        for (path, kind) in REPLACED {
            view.replace(Path::new(path), kind);
        }
        let seen: Vec<PathBuf> = view.folders.iter().map(|(_, seen)| seen.clone()).collect();
        let programs =
            wanted.environment.get_filled("PATH").unwrap_or_default().split(':').map(PathBuf::from);
        let wanted_paths: Vec<PathBuf> = wanted.shown.iter().cloned().chain(programs).collect();
        for path in seen.iter().chain(&wanted_paths).chain(&view.layer.clone()) {
            view.make_way_to(path);
        }
        wanted_paths.iter().for_each(|path| view.show(path, false));
        if let Some(layer) = view.layer.clone() {
            view.show(&layer, false);
        }
        if let Some(cache) = wanted.environment.get_filled("CCACHE_DIR").map(PathBuf::from) {
            let is_own = is_owned_by(&cache, owner);
            view.make_way_to(&cache);
            view.show(&cache, is_own);
            view.has_shared_ccache = !is_own;
        }
        let given = SECRET.iter().map(Path::new).chain(wanted.secret.iter().map(PathBuf::as_path));
        // Sockets that any user may talk to: what is mounted read-only keeps nobody from it.
        let sockets = super::sockets::open_to_others();
        for path in given.chain(sockets.iter().map(PathBuf::as_path)) {
            view.secret.push(path.to_owned());
            view.secret.extend(fs::canonical(path).ok());
        }
        view.take_inputs(&wanted.inputs);
        view.secret.retain(|path| path.is_absolute() && fs::exists(path));
        view.secret.sort();
        view.secret.dedup();
        // What is in a hidden folder is hidden with it, and can't be found there any more.
        let folders = view.secret.clone();
        view.secret.retain(|path| !folders.iter().any(|folder| folder != path && path.starts_with(folder)));
        view.shown.sort();
        view.shown.dedup_by(|a, b| a.0 == b.0);
        view
    }

    /// Finds the inputs, and where each is to be seen: where it lies, and where the paths that
    /// name it seem to lead.
    fn take_inputs(&mut self, paths: &[PathBuf]) {
        let is_hidden = |path: &Path| {
            self.is_replaced(path) || self.owner.is_some_and(|owner| !is_open_to(owner, path, false))
        };
        let real = self.layer.as_deref().and_then(|layer| fs::canonical(layer).ok());
        let mut inputs = Inputs::of(paths, real.as_deref(), self.owner, self.secret.clone(), &is_hidden);
        self.secret = std::mem::take(&mut inputs.secret);
        inputs.found.iter().for_each(|input| self.make_way_to(&input.path));
        let mut places: Vec<(PathBuf, usize)> =
            inputs.found.iter().enumerate().map(|(number, input)| (input.path.clone(), number)).collect();
        for path in paths {
            let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { continue };
            let (Ok(parent), Ok(target)) = (fs::canonical(parent), fs::canonical(path)) else { continue };
            self.make_way_to(&parent.join(name));
            let named = parent.join(name);
            let is_there = self.shown.iter().any(|(shown, _)| named.starts_with(shown));
            if named == target || is_there || !self.is_replaced(&parent) {
                continue;
            }
            // It stays a link: links in the tree that lead up from there mean what they meant.
            if inputs.found.iter().any(|input| target.starts_with(&input.path)) {
                self.links.push((named, target));
            }
        }
        places.sort();
        self.links.sort();
        self.links.dedup();
        self.inputs = inputs;
        self.places = places;
    }

    /// Those of the paths that are there and that these processes can't read, or don't see.
    pub(super) fn unseen(&self, paths: &[PathBuf]) -> Vec<PathBuf> {
        let is_input = |path: &Path| self.inputs.found.iter().any(|input| path.starts_with(&input.path));
        let is_secret = |path: &Path| self.secret.iter().any(|secret| path.starts_with(secret));
        let is_unseen = |path: &Path| {
            let is_replaced_itself = self.replaced.iter().any(|(replaced, _)| replaced == path);
            let is_hidden = !self.is_visible(path) && !DEVICES.iter().any(|device| path == Path::new(device));
            let is_shut = || self.owner.is_some_and(|owner| !is_open_to(owner, path, self.is_replaced(path)));
            is_secret(path) || !is_replaced_itself && (is_hidden || is_shut() && !is_input(path))
        };
        let real: Vec<PathBuf> = paths.iter().filter_map(|path| fs::canonical(path).ok()).collect();
        real.into_iter().filter(|path| is_unseen(path)).collect()
    }

    fn replace(&mut self, path: &Path, kind: Kind) {
        if let Ok(path) = fs::canonical(path)
            && fs::is_dir(&path)
            && !self.replaced.iter().any(|(there, _)| *there == path)
        {
            self.replaced.push((path, kind));
        }
    }

    /// What the owner may not pass through on the way to a path is replaced, so that the path can be shown.
    fn make_way_to(&mut self, path: &Path) {
        let Some(owner) = self.owner else { return };
        let mut above: Vec<&Path> = path.ancestors().skip(1).collect();
        above.reverse();
        for folder in above {
            if self.is_replaced(folder) {
                return;
            }
            let closed = fs::stat(folder).ok().flatten().is_some_and(|meta| !owner.may(1, &meta));
            if closed && folder != Path::new("/") {
                return self.replace(folder, Kind::StandIn);
            }
        }
    }

    fn is_replaced(&self, path: &Path) -> bool {
        self.replaced.iter().any(|(replaced, _)| path.starts_with(replaced))
    }

    fn show(&mut self, path: &Path, is_writable: bool) {
        let real = fs::canonical(path).ok();
        for path in std::iter::once(path).chain(real.as_deref()) {
            let fits = path.is_absolute() && fs::exists(path) && (is_writable || self.is_replaced(path));
            let may_see = self.owner.is_none_or(|owner| {
                fs::stat(path)
                    .ok()
                    .flatten()
                    .is_some_and(|meta| owner.may(if meta.is_dir() { 5 } else { 4 }, &meta))
            });
            // Devices are ours to choose.
            if fits && may_see && path != Path::new("/dev") {
                self.shown.push((path.to_owned(), is_writable));
            }
        }
    }

    /// Whether a path that is there outside is there inside.
    pub(super) fn is_visible(&self, path: &Path) -> bool {
        let depth = |path: &Path| path.components().count();
        let deepest = |paths: &mut dyn Iterator<Item = &PathBuf>| {
            paths.filter(|above| path.starts_with(above)).map(|above| depth(above)).max()
        };
        let replaced = deepest(&mut self.replaced.iter().map(|(path, _)| path));
        let places = self.places.iter().map(|(path, _)| path);
        let shown = deepest(&mut self.shown.iter().map(|(path, _)| path).chain(places));
        replaced.is_none_or(|replaced| shown.is_some_and(|shown| shown >= replaced))
    }

    /// What can be written there, and is new.
    pub(super) fn new_places(&self) -> Result<Vec<CString>, NulError> {
        let replaced = self.replaced.iter().filter(|(_, kind)| *kind != Kind::StandIn).map(|(path, _)| path);
        replaced.chain(&self.layer).map(|path| text(path)).collect()
    }

    /// The view as a list of what is to be taken and done.
    pub(super) fn scene(&self) -> Result<(Vec<Tree>, Vec<Act>), NulError> {
        let mut scene = Building::default();
        for (path, kind) in &self.replaced {
            self.put_in_place_of(path, *kind, &mut scene)?;
        }
        if let Some(home) = self.home.as_deref().filter(|home| self.is_replaced(home)) {
            self.folders_to(home, &mut scene)?;
        }
        for (path, is_writable) in &self.shown {
            if fs::is_dir(path) {
                self.folders_to(path, &mut scene)?;
            } else {
                self.folders_to(path.parent().unwrap_or(path), &mut scene)?;
                scene.acts.push(Act::Empty(text(path)?));
            }
            scene.tree(path, path, *is_writable, false)?;
        }
        for (place, number) in &self.places {
            if let Some(input) = self.inputs.found.get(*number) {
                self.show_input(input, *number, place, &mut scene)?;
            }
        }
        for (link, target) in &self.links {
            self.folders_to(link.parent().unwrap_or(link), &mut scene)?;
            scene.acts.push(Act::Link(text(link)?, text(target)?));
        }
        for (folder, seen) in &self.folders {
            self.folders_to(seen, &mut scene)?;
            scene.tree(folder, seen, true, false)?;
        }
        if let Some(layer) = &self.layer {
            self.lay_over(layer, &mut scene)?;
        }
        for path in self.secret.iter().filter(|path| self.is_visible(path)) {
            scene.acts.push(match fs::is_dir(path) {
                true => new_tmpfs(path, "mode=0,size=4k".to_owned())?,
                false => Act::Again(text(Path::new(NOTHING))?, text(path)?),
            });
        }
        for (path, kind) in &self.replaced {
            if matches!(kind, Kind::Devices | Kind::StandIn) {
                scene.acts.push(Act::ReadOnly(text(path)?));
            }
        }
        Ok((scene.trees, scene.acts))
    }

    fn is_layer(&self, place: &Path) -> bool {
        self.layer.as_deref().and_then(|layer| fs::canonical(layer).ok()).as_deref() == Some(place)
    }

    fn show_input(
        &self,
        input: &Input,
        number: usize,
        place: &Path,
        scene: &mut Building,
    ) -> Result<(), NulError> {
        let is_replaced = self.is_replaced(place);
        // A copy goes over the layer's folder together with the layer.
        let is_layer = self.is_layer(place);
        if !is_replaced && input.how == How::AsIs {
            return Ok(());
        }
        let is_dir = fs::is_dir(&input.path);
        if is_replaced && is_dir {
            self.folders_to(place, scene)?;
        } else if is_replaced {
            self.folders_to(place.parent().unwrap_or(place), scene)?;
            scene.acts.push(Act::Empty(text(place)?));
        }
        match &input.how {
            How::AsIs => scene.tree(&input.path, place, false, false)?,
            How::Mapped(owners) => scene.mapped(&input.path, place, *owners)?,
            How::Copied(copy) if is_dir => {
                if is_replaced {
                    scene.tree(&input.path, place, false, false)?;
                }
                let below = Path::new(COPIES).join(number.to_string());
                scene
                    .acts
                    .extend([Act::Folder(text(Path::new(COPIES))?, None), Act::Folder(text(&below)?, None)]);
                scene.tree(copy, &below, false, false)?;
                if !is_layer && is_plain(place) {
                    let options =
                        [b"lowerdir=", below.as_os_str().as_bytes(), b":", place.as_os_str().as_bytes()];
                    scene.acts.push(Act::Cover(text(place)?, CString::new(options.concat())?));
                    scene.acts.push(Act::ReadOnly(text(place)?));
                }
            }
            How::Copied(copy) => scene.tree(copy, place, false, false)?,
        }
        Ok(())
    }

    fn put_in_place_of(&self, path: &Path, kind: Kind, scene: &mut Building) -> Result<(), NulError> {
        // The ways to other folders below it stay ours.
        let owner = match self.owner.filter(|_| self.home.as_deref() == Some(path)) {
            Some(owner) => format!(",uid={},gid={}", owner.uid.as_raw(), owner.gid.as_raw()),
            None => String::new(),
        };
        let earlier = self.replaced.iter().find(|(_, other)| *other == Kind::Scratch);
        let act = match kind {
            Kind::Devices => return devices(&self.devices, scene),
            Kind::Scratch if earlier.is_some_and(|(other, _)| other != path) => {
                Act::Again(text(earlier.map_or(path, |(other, _)| other))?, text(path)?)
            }
            Kind::Scratch => new_tmpfs(path, format!("mode=1777,size={},nr_inodes=200k", scratch_size()))?,
            Kind::Home => new_tmpfs(path, format!("mode=0755,size=5%,nr_inodes=20k{owner}"))?,
            Kind::StandIn => new_tmpfs(path, "mode=0755,size=1m,nr_inodes=1k".to_owned())?,
        };
        scene.acts.push(act);
        Ok(())
    }

    /// The folders of a path in what is replaced, where it is.
    fn folders_to(&self, path: &Path, scene: &mut Building) -> Result<(), NulError> {
        let mut above: Vec<&Path> = path.ancestors().take_while(|folder| self.is_replaced(folder)).collect();
        above.reverse();
        for folder in above {
            let owner = self.owner.filter(|_| self.home.as_deref() == Some(folder));
            scene.acts.push(Act::Folder(text(folder)?, owner.map(|owner| (owner.uid, owner.gid))));
        }
        Ok(())
    }

    /// A folder in which new files can be written, and nothing stays. What is there can be replaced, since
    /// all folders are the owner's. Paths that overlayfs has its own meaning for get none.
    fn lay_over(&self, folder: &Path, scene: &mut Building) -> Result<(), NulError> {
        if !is_plain(folder) {
            return Ok(());
        }
        let owner = self.owner.map(|owner| (owner.uid, owner.gid));
        let upper = Path::new(LAYER).join("upper");
        scene.acts.extend([
            Act::Folder(text(Path::new(LAYER))?, None),
            new_tmpfs(Path::new(LAYER), format!("mode=0755,size={},nr_inodes=200k", scratch_size()))?,
            Act::Folder(text(&upper)?, owner),
            Act::Folder(text(&Path::new(LAYER).join("work"))?, None),
        ]);
        for below in folders_below(folder) {
            scene.acts.push(Act::Folder(text(&upper.join(below))?, owner));
        }
        let copied = self.places.iter().find(|(place, number)| {
            self.is_layer(place)
                && self.inputs.found.get(*number).is_some_and(|input| matches!(input.how, How::Copied(_)))
        });
        let copies = copied.map(|(_, number)| format!("{COPIES}/{number}:")).unwrap_or_default();
        let options = format!("upperdir={LAYER}/upper,workdir={LAYER}/work,lowerdir={copies}");
        let options = CString::new([options.as_bytes(), folder.as_os_str().as_bytes()].concat())?;
        let act = if copied.is_some() { Act::Cover } else { Act::Layer };
        scene.acts.push(act(text(folder)?, options));
        Ok(())
    }
}

/// What rules of landlock are about.
#[cfg(any(test, feature = "landlock"))]
impl View {
    /// What can be written where a process has mounts of its own, and is there before.
    pub(super) fn writable(&self) -> impl Iterator<Item = &Path> {
        let shown = self.shown.iter().filter(|(_, is_writable)| *is_writable).map(|(path, _)| path);
        shown.chain(self.folders.iter().map(|(folder, _)| folder)).map(PathBuf::as_path)
    }

    /// What can be written, where it hasn't.
    pub(super) fn writable_in_place(&self) -> impl Iterator<Item = &Path> {
        let scratch = self.replaced.iter().filter(|(_, kind)| *kind == Kind::Scratch).map(|(path, _)| path);
        let shown = self.shown.iter().filter(|(_, is_writable)| *is_writable).map(|(path, _)| path);
        let folders = self.folders.iter().map(|(folder, _)| folder);
        scratch.chain(shown).chain(folders).map(PathBuf::as_path).chain([Path::new("/dev/shm")])
    }

    /// What is shown although it lies in what is replaced.
    pub(super) fn shown(&self) -> impl Iterator<Item = &Path> {
        let places = self.places.iter().map(|(path, _)| path);
        self.shown.iter().map(|(path, _)| path).chain(places).map(PathBuf::as_path)
    }

    /// What can't be read where a process has no mounts of its own.
    pub(super) fn secrets(&self) -> Vec<PathBuf> {
        let hides = |kind: Kind| matches!(kind, Kind::Home | Kind::StandIn);
        let replaced = self.replaced.iter().filter(|(_, kind)| hides(*kind)).map(|(path, _)| path.clone());
        replaced.chain(self.secret.iter().cloned()).collect()
    }
}

/// Whether overlayfs takes a path in its options as it is.
fn is_plain(path: &Path) -> bool {
    !path.as_os_str().as_bytes().iter().any(|byte| b":,\\".contains(byte))
}

/// Whether a user can reach a path and read what is there; `is_reached`: the folders
/// above it do not matter.
fn is_open_to(owner: Account, path: &Path, is_reached: bool) -> bool {
    let may =
        |path: &Path, wanted| fs::stat(path).ok().flatten().is_some_and(|meta| owner.may(wanted, &meta));
    let last = if fs::is_dir(path) { 5 } else { 4 };
    (is_reached || path.ancestors().skip(1).all(|folder| may(folder, 1))) && may(path, last)
}

/// The folders in a folder, at any depth, as paths from there. Each comes after the one that it is in.
fn folders_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = vec![PathBuf::new()];
    let mut done = 0;
    while let Some(below) = found.get(done).cloned() {
        let entries = fs::list(&folder.join(&below)).unwrap_or_default();
        let folders = entries.into_iter().filter(|entry| entry.kind.is_dir());
        found.extend(folders.map(|entry| below.join(entry.name)));
        done += 1;
    }
    found.split_off(1)
}

fn is_owned_by(path: &Path, owner: Option<Account>) -> bool {
    use std::os::unix::fs::MetadataExt;
    let uid = owner.map_or_else(rustix::process::geteuid, |owner| owner.uid);
    fs::stat(path).ok().flatten().is_some_and(|meta| meta.uid() == uid.as_raw())
}

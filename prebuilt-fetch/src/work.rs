//! Both commands: the files of a place, and the bytes of one.

use std::fmt::Write as _;
use std::io::Write;

use sha2::{Digest, Sha256};

use crate::client::{Answer, Client, Terms, basic};
use crate::fault::Fault;
use crate::index;
use crate::place::{Image, Place};
use crate::proxy::Proxies;
use crate::registry::{self, Layer};
use crate::request::{Request, Wanted};
use crate::url::{Url, decoded};
use crate::watch::{Limits, Progress, within};

/// The longest page or list that is read.
const LONGEST_PAGE: usize = 32 << 20;
/// The longest manifest, as registries have it.
const LONGEST_MANIFEST: usize = 4 << 20;
/// The longest answer with a token.
const LONGEST_TOKEN: usize = 1 << 20;
/// The longest file; dkms reads no more.
const LONGEST_FILE: u64 = 512 << 20;

/// Does what was asked, and writes the result to standard output.
///
/// # Errors
/// [`Fault`].
pub fn run(request: Request, login: Option<String>, proxies: Proxies) -> Result<(), Fault> {
    let Request { place, wanted, .. } = request;
    let login = login.map(|login| decoded(&login).unwrap_or(login));
    match wanted {
        Wanted::List => {
            let text =
                within(Limits::LIST, move |progress| list(&place, login.as_deref(), proxies, progress))?;
            write(&mut std::io::stdout().lock(), text.as_bytes())
        }
        Wanted::File(name) => {
            within(Limits::FILE, move |progress| get(&place, &name, login.as_deref(), proxies, progress))
        }
    }
}

fn list(place: &Place, login: Option<&str>, proxies: Proxies, progress: &Progress) -> Result<String, Fault> {
    let client = Client::new(proxies, progress);
    let mut text = String::new();
    match place {
        Place::Folder(folder) => {
            for name in names(&client, folder, login)? {
                // A text can always be written to.
                let _ = writeln!(text, "- {name}");
            }
        }
        Place::Image(image) => {
            for Layer { name, size, .. } in Session::new(&client, image).layers()? {
                let _ = writeln!(text, "{size} {name}");
            }
        }
    }
    Ok(text)
}

/// The names in a folder's index page, or, if the server makes none, in `SHA256SUMS`.
fn names(
    client: &Client,
    folder: &Url,
    login: Option<&str>,
) -> Result<std::collections::BTreeSet<String>, Fault> {
    let authorization = login.map(basic);
    let terms = Terms { authorization: authorization.as_deref(), accept: None };
    let page = client.get(folder, terms)?;
    if page.status == 200 {
        let base = page.url.clone();
        return Ok(index::links(&String::from_utf8_lossy(&page.whole(LONGEST_PAGE)?), &base));
    }
    let list = match page.status {
        403 | 404 => client.get(&folder.file("SHA256SUMS"), terms)?,
        _ => return Err(Fault::Place(refused(&page))),
    };
    match list.status {
        200 => Ok(index::summed(&String::from_utf8_lossy(&list.whole(LONGEST_PAGE)?))),
        _ => Err(Fault::Place(format!("{}, and there is no `SHA256SUMS`", refused(&page)))),
    }
}

fn get(
    place: &Place,
    name: &str,
    login: Option<&str>,
    proxies: Proxies,
    progress: &Progress,
) -> Result<(), Fault> {
    let client = Client::new(proxies, progress);
    let mut out = std::io::stdout().lock();
    match place {
        Place::Folder(folder) => {
            let authorization = login.map(basic);
            let terms = Terms { authorization: authorization.as_deref(), accept: None };
            let mut answer = client.get(&folder.file(name), terms)?;
            is_there(&answer)?;
            answer.pieces(LONGEST_FILE, |piece| write(&mut out, piece))
        }
        Place::Image(image) => {
            let mut session = Session::new(&client, image);
            let layer = session.layers()?.into_iter().find(|layer| layer.name == name);
            let layer = layer.ok_or_else(|| Fault::File("it is not in the image any more".to_owned()))?;
            let mut answer = session.get(&image.part("blobs", &layer.digest), None)?;
            is_there(&answer)?;
            let mut digest = Sha256::new();
            answer.pieces(layer.size.min(LONGEST_FILE), |piece| {
                digest.update(piece);
                write(&mut out, piece)
            })?;
            check(&layer.digest, digest).map_err(Fault::File)
        }
    }
}

/// What a registry gives, with a token if it asks for one.
struct Session<'a> {
    client: &'a Client,
    image: &'a Image,
    token: Option<String>,
}

impl<'a> Session<'a> {
    fn new(client: &'a Client, image: &'a Image) -> Self {
        Self { client, image, token: None }
    }

    fn layers(&mut self) -> Result<Vec<Layer>, Fault> {
        let address = self.image.part("manifests", &self.image.reference);
        let answer = self.get(&address, Some(registry::MANIFESTS))?;
        if answer.status != 200 {
            return Err(Fault::Place(refused(&answer)));
        }
        let stated = answer.digest.clone().filter(|digest| crate::place::is_digest(digest));
        let pinned =
            Some(&self.image.reference).filter(|reference| crate::place::is_digest(reference)).cloned();
        let manifest = answer.whole(LONGEST_MANIFEST)?;
        for digest in pinned.iter().chain(&stated) {
            check(digest, Sha256::new_with_prefix(&manifest)).map_err(Fault::Place)?;
        }
        registry::layers(&manifest).map_err(Fault::Place)
    }

    fn get(&mut self, url: &Url, accept: Option<&str>) -> Result<Answer, Fault> {
        let answer = self.ask(url, accept)?;
        let Some(challenge) =
            answer.challenge.clone().filter(|_| answer.status == 401 && self.token.is_none())
        else {
            return Ok(answer);
        };
        let Some(address) = registry::token_address(&challenge, &self.image.registry, &self.image.repository)
        else {
            return Ok(answer);
        };
        let given = self.client.get(&address, Terms::default())?;
        if given.status != 200 {
            return Err(Fault::Place(refused(&given)));
        }
        let token = registry::token(&given.whole(LONGEST_TOKEN)?);
        self.token = Some(token.ok_or_else(|| Fault::Place(format!("`{address}` gives no token")))?);
        self.ask(url, accept)
    }

    fn ask(&self, url: &Url, accept: Option<&str>) -> Result<Answer, Fault> {
        let authorization = self.token.as_ref().map(|token| format!("Bearer {token}"));
        self.client.get(url, Terms { accept, authorization: authorization.as_deref() })
    }
}

/// Whether an answer has the file; if not, whether others may be there.
fn is_there(answer: &Answer) -> Result<(), Fault> {
    match answer.status {
        200 => Ok(()),
        404 | 410 => Err(Fault::File(refused(answer))),
        _ => Err(Fault::Place(refused(answer))),
    }
}

fn refused(answer: &Answer) -> String {
    let what = match answer.status {
        401 => " (it wants a login)",
        403 => " (forbidden)",
        404 => " (not found)",
        429 => " (too many requests)",
        500.. => " (an error of the server)",
        _ => "",
    };
    format!("`{}` is answered with status {}{what}", answer.url, answer.status)
}

fn check(stated: &str, found: Sha256) -> Result<(), String> {
    let found = found.finalize().iter().fold("sha256:".to_owned(), |mut text, byte| {
        // A text can always be written to.
        let _ = write!(text, "{byte:02x}");
        text
    });
    (stated == found)
        .then_some(())
        .ok_or_else(|| format!("it has the digest {found:.23}… instead of {stated:.23}…"))
}

fn write(out: &mut impl Write, bytes: &[u8]) -> Result<(), Fault> {
    let written = out.write_all(bytes).and_then(|()| out.flush());
    written.map_err(|error| Fault::Place(format!("the result cannot be written: {error}")))
}

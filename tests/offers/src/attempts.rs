//! How a download is tried: the newest, once more after an update, then the next older.

/// Why nothing was fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure<E> {
    /// There was nothing to try, also after an update.
    NoOffer,
    /// This failed first after the update: the newest offer.
    Failed(E),
}

/// Tries the newest offer. If that fails, `update` runs once and the offers are asked for again, since names
/// and versions change with the lists; then each is tried, from the newest to the oldest.
///
/// An update that fails is no reason to stop: what is in a cache may still do.
///
/// # Errors
/// If none works. An error of `offers` ends it at once.
pub fn newest_that_works<T, R, E>(
    mut offers: impl FnMut() -> Result<Vec<T>, E>,
    mut update: impl FnMut() -> Result<(), E>,
    mut attempt: impl FnMut(&T) -> Result<R, E>,
) -> Result<R, Failure<E>> {
    if let Some(newest) = offers().map_err(Failure::Failed)?.first()
        && let Ok(done) = attempt(newest)
    {
        return Ok(done);
    }
    let updated = update();
    let mut first = None;
    for offer in offers().map_err(Failure::Failed)? {
        match attempt(&offer) {
            Ok(done) => return Ok(done),
            Err(error) => first = first.or(Some(error)),
        }
    }
    Err(first.or(updated.err()).map_or(Failure::NoOffer, Failure::Failed))
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::{Failure, newest_that_works};

    /// What was done over these offers (before and after the update), when those named
    /// `works` can be fetched.
    fn run(before: &[&str], after: &[&str], works: &[&str]) -> (Result<String, Failure<String>>, String) {
        let (log, updated) = (RefCell::new(Vec::new()), RefCell::new(false));
        let result = newest_that_works(
            || {
                let offers = if *updated.borrow() { after } else { before };
                Ok(offers.iter().map(|offer| (*offer).to_owned()).collect())
            },
            || {
                log.borrow_mut().push("update".to_owned());
                *updated.borrow_mut() = true;
                Ok(())
            },
            |offer: &String| {
                log.borrow_mut().push(offer.clone());
                if works.contains(&offer.as_str()) { Ok(offer.clone()) } else { Err(format!("no {offer}")) }
            },
        );
        (result, log.into_inner().join(" "))
    }

    #[test]
    fn one_retry_after_an_update_then_the_next_older() {
        let failed = |text: &str| Err(Failure::Failed(text.to_owned()));
        let ok = |text: &str| Ok(text.to_owned());
        for (before, after, works, result, done) in [
            (&["57", "56"][..], &["57", "56"][..], &["57", "56"][..], ok("57"), "57"),
            // It vanished between update and download; the lists know a newer one now.
            (&["57", "56"], &["58", "57", "56"], &["58", "56"], ok("58"), "57 update 58"),
            // It vanished and the mirror's lists still name it.
            (&["57", "56"], &["57", "56"], &["56"], ok("56"), "57 update 57 56"),
            // Old lists name nothing at all.
            (&[], &["57"], &["57"], ok("57"), "update 57"),
            (&["57", "56"], &["57", "56"], &[], failed("no 57"), "57 update 57 56"),
            (&["57"], &[], &[], Err(Failure::NoOffer), "57 update"),
            (&[], &[], &[], Err(Failure::NoOffer), "update"),
        ] {
            assert_eq!(
                run(before, after, works),
                (result, done.to_owned()),
                "{before:?} {after:?} {works:?}"
            );
        }
    }

    #[test]
    fn a_failing_update_is_told_only_if_nothing_else_is() {
        let offers = |list: &'static [&str]| move || Ok::<_, &str>(list.to_vec());
        let none = newest_that_works(offers(&[]), || Err("offline"), |_: &&str| Ok::<(), _>(()));
        assert_eq!(none, Err(Failure::Failed("offline")));
        let tries = RefCell::new(0);
        let second = newest_that_works(
            offers(&["57"]),
            || Err("offline"),
            |_: &&str| {
                *tries.borrow_mut() += 1;
                if *tries.borrow() == 2 { Ok("kept") } else { Err("hiccup") }
            },
        );
        assert_eq!(second, Ok("kept"));
    }
}

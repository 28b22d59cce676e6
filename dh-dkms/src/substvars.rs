//! Variables for the control file: `debian/PACKAGE.substvars`. Text in, text out.

/// The text with `value` among those of the variable `name`, as debhelper's `addsubstvar` leaves it;
/// `None` where it is there.
#[must_use]
pub fn add(text: &str, name: &str, value: &str) -> Option<String> {
    let (mut out, mut is_set, mut changed) = (String::new(), false, false);
    for line in text.lines() {
        let assigned = line.strip_prefix(name).and_then(|rest| {
            let (mark, values) = rest
                .strip_prefix("?=")
                .map(|v| ("?=", v))
                .or_else(|| rest.strip_prefix('=').map(|v| ("=", v)))?;
            Some((mark, values))
        });
        match assigned {
            Some((mark, values)) => {
                is_set = true;
                let mut all: Vec<&str> = values.split(", ").filter(|value| !value.is_empty()).collect();
                if all.contains(&value) {
                    out.push_str(line);
                } else {
                    changed = true;
                    all.push(value);
                    all.sort_unstable();
                    all.dedup();
                    out.push_str(&format!("{name}{mark}{}", all.join(", ")));
                }
            }
            None => out.push_str(line),
        }
        out.push('\n');
    }
    if !is_set {
        out.push_str(&format!("{name}={value}\n"));
        changed = true;
    }
    changed.then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_added_once_and_others_stay() {
        let text = "misc:Depends=zz, aa (>= 1)\nmisc:Pre-Depends=\nshlibs:Depends=dkms\n";
        let added = add(text, "misc:Depends", "dkms").unwrap();
        assert_eq!(added, "misc:Depends=aa (>= 1), dkms, zz\nmisc:Pre-Depends=\nshlibs:Depends=dkms\n");
        assert_eq!(add(&added, "misc:Depends", "dkms"), None);
        assert_eq!(add("", "misc:Depends", "a (>= 1)").unwrap(), "misc:Depends=a (>= 1)\n");
        assert_eq!(add("a?=x", "a", "b").unwrap(), "a?=b, x\n");
    }
}

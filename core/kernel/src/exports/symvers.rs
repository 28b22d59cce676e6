//! `Module.symvers`: a line for each exported symbol, its fields separated by tabs: CRC, name, exporter, kind
//! of export, and (5.4 and newer) the namespace. `symvers.gz` of Red Hat and SUSE has the same lines.
//! Documentation/kbuild/modules.rst of the kernel, "Module Versioning".

use super::{Export, Exports};

/// What the kernel's own image is called as an exporter.
pub const IMAGE: &str = "vmlinux";

/// A line of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line<'a> {
    /// The symbol's name.
    pub name: &'a str,
    /// [`IMAGE`], or the path of a module without its suffix.
    pub exporter: &'a str,
    /// How it is exported. A CRC of 0 is what a kernel without `CONFIG_MODVERSIONS` writes for all.
    pub export: Export,
}

/// The lines of a list; what is no such line is left out.
pub fn lines(text: &str) -> impl Iterator<Item = Line<'_>> {
    text.lines().filter_map(line)
}

fn line(text: &str) -> Option<Line<'_>> {
    let mut fields = text.split('\t');
    let crc = u32::from_str_radix(fields.next()?.strip_prefix("0x")?, 16).ok()?;
    let (name, exporter) = (fields.next()?, fields.next()?);
    let gpl_only = fields.next().is_some_and(|kind| kind.ends_with("_GPL"));
    let namespace = fields.next().filter(|namespace| !namespace.is_empty()).map(str::to_owned);
    Some(Line { name, exporter, export: Export { crc: Some(crc), gpl_only, namespace } })
}

/// All symbols of a list. Where no symbol has a CRC the kernel has none.
#[must_use]
pub fn parse(text: &str) -> Exports {
    let mut exports: Exports = lines(text).map(|line| (line.name.to_owned(), line.export)).collect();
    if exports.values().all(|export| export.crc == Some(0)) {
        exports.values_mut().for_each(|export| export.crc = None);
    }
    exports
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_sum_kind_and_namespace() {
        let text = "0x4c9d28b0\tphys_base\tvmlinux\tEXPORT_SYMBOL\t\n\
            0x00000000\tcrc16\tlib/crc16\tEXPORT_SYMBOL_GPL\n\
            0x1\tspaced\tdrivers/x\tEXPORT_SYMBOL_GPL\tUSB_STORAGE\n\
            0x1 spaces x y\n\njunk\tx\ty\n";
        let export = |crc, gpl_only, namespace: Option<&str>| Export {
            crc: Some(crc),
            gpl_only,
            namespace: namespace.map(str::to_owned),
        };
        let expected = [
            ("crc16".to_owned(), export(0, true, None)),
            ("phys_base".to_owned(), export(0x4c9d_28b0, false, None)),
            ("spaced".to_owned(), export(1, true, Some("USB_STORAGE"))),
        ];
        assert_eq!(parse(text), expected.into());
        assert_eq!(lines(text).next().unwrap().exporter, IMAGE);
    }

    #[test]
    fn a_kernel_without_versions_has_no_sums() {
        let parsed = parse("0x00000000\ta\tvmlinux\tEXPORT_SYMBOL\t\n");
        assert_eq!(parsed["a"], Export { crc: None, gpl_only: false, namespace: None });
    }
}

//! How a manual page is written: Markdown in, roff out. Knows the parts of Markdown that manuals need;
//! anything else is an error, so that no page loses text.
//!
//! `# X` begins a section, `## X` a subsection; a line and `: text` below it is an item with its
//! explanation; a fence holds an example; `**x**` and `` `x` `` are bold, `*x*` is italic.

use anyhow::{Result, bail};
use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

/// What a page is, for its title line.
#[derive(Debug, Clone, Copy)]
pub struct Title<'a> {
    /// The name, in lower case.
    pub name: &'a str,
    /// The section of the manual.
    pub section: &'a str,
    /// The date, as `2026-11-21`.
    pub date: &'a str,
    /// The program and its version.
    pub source: &'a str,
}

/// The width of the roff's lines.
const WIDTH: usize = 76;

/// The page that a Markdown text describes.
///
/// # Errors
/// Where the text has what no page can show.
pub fn page(title: Title<'_>, markdown: &str) -> Result<String> {
    let Title { name, section, date, source } = title;
    let (name, source) = (escaped(&name.to_uppercase()), escaped(source));
    let mut page = Page { text: format!(".TH {name} {section} {date} \"{source}\"\n"), ..Page::default() };
    for event in Parser::new_ext(markdown, Options::ENABLE_DEFINITION_LIST) {
        page.take(event)?;
    }
    Ok(page.text)
}

/// A page in the making.
#[derive(Debug, Default)]
struct Page {
    text: String,
    /// The text of the paragraph, heading or example at hand.
    line: String,
    /// Whether the next paragraph needs no macro: it follows one that begins it.
    is_begun: bool,
    /// Whether a title is being read.
    in_title: bool,
    /// Whether a title has just ended.
    is_titled: bool,
    /// How many lists and explanations are open.
    depth: usize,
    /// Whether an example is open.
    in_example: bool,
}

impl Page {
    fn take(&mut self, event: Event<'_>) -> Result<()> {
        match event {
            Event::Start(tag) => self.begin(&tag)?,
            Event::End(tag) => self.end(tag),
            Event::Text(text) if self.in_example => self.line.push_str(&text),
            Event::Text(text) => self.line.push_str(&escaped(&text)),
            Event::Code(text) => self.line.push_str(&format!("\\fB{}\\fR", escaped(&text))),
            Event::SoftBreak if self.in_title => {
                self.title();
                self.title_macro();
            }
            Event::SoftBreak => self.line.push(' '),
            other => bail!("a manual page can't show {other:?}"),
        }
        Ok(())
    }

    fn begin(&mut self, tag: &Tag<'_>) -> Result<()> {
        match tag {
            Tag::Strong => self.line.push_str("\\fB"),
            Tag::Emphasis => self.line.push_str("\\fI"),
            Tag::CodeBlock(_) => {
                self.flush();
                self.in_example = true;
            }
            Tag::List(None) | Tag::DefinitionListDefinition => {
                self.flush();
                self.is_titled = false;
                self.depth += 1;
            }
            Tag::Item => {
                self.text.push_str(".IP \\(bu 2\n");
                self.is_begun = true;
            }
            Tag::DefinitionListTitle => {
                self.flush();
                self.in_title = true;
                self.title_macro();
            }
            Tag::Paragraph | Tag::Heading { .. } | Tag::DefinitionList => self.flush(),
            other => bail!("a manual page can't show {other:?}"),
        }
        Ok(())
    }

    fn end(&mut self, tag: TagEnd) {
        match tag {
            TagEnd::Strong | TagEnd::Emphasis => self.line.push_str("\\fR"),
            TagEnd::Heading(level) => {
                let line = std::mem::take(&mut self.line);
                let is_section = level == pulldown_cmark::HeadingLevel::H1;
                let line = if is_section { line.to_uppercase() } else { line };
                self.text.push_str(&format!("{} {line}\n", if is_section { ".SH" } else { ".SS" }));
                self.is_begun = true;
            }
            TagEnd::DefinitionListTitle => {
                self.title();
                self.in_title = false;
            }
            TagEnd::CodeBlock => self.example(),
            TagEnd::List(_) | TagEnd::DefinitionListDefinition => {
                self.flush();
                self.depth = self.depth.saturating_sub(1);
            }
            _ => self.flush(),
        }
    }

    /// What begins a title; another one before it shares its explanation.
    fn title_macro(&mut self) {
        self.text.push_str(if self.is_titled { ".TQ\n" } else { ".TP\n" });
    }

    /// The title at hand.
    fn title(&mut self) {
        let line = std::mem::take(&mut self.line);
        // A name stands in bold; what has its own font keeps it.
        let line = if line.contains("\\f") { line } else { format!("\\fB{line}\\fR") };
        self.text.push_str(&guarded(&line));
        self.text.push('\n');
        (self.is_begun, self.is_titled) = (true, true);
    }

    /// The paragraph at hand.
    fn flush(&mut self) {
        let line = std::mem::take(&mut self.line);
        if line.trim().is_empty() {
            return;
        }
        self.paragraph();
        self.text.push_str(&filled(&line));
    }

    /// What begins a paragraph here.
    fn paragraph(&mut self) {
        if !std::mem::take(&mut self.is_begun) {
            self.text.push_str(if self.depth > 0 { ".IP\n" } else { ".PP\n" });
        }
    }

    fn example(&mut self) {
        self.in_example = false;
        let code = std::mem::take(&mut self.line);
        self.paragraph();
        self.text.push_str(if self.depth > 0 { ".EX\n" } else { ".RS 4\n.EX\n" });
        for line in code.lines() {
            self.text.push_str(&guarded(&escaped(line)));
            self.text.push('\n');
        }
        self.text.push_str(if self.depth > 0 { ".EE\n" } else { ".EE\n.RE\n" });
    }
}

/// A paragraph in lines of a bounded width.
fn filled(text: &str) -> String {
    let (mut lines, mut line) = (String::new(), String::new());
    for word in text.split_whitespace() {
        if !line.is_empty() && line.len() + word.len() >= WIDTH {
            lines.push_str(&guarded(&line));
            lines.push('\n');
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines.push_str(&guarded(&line));
    lines.push('\n');
    lines
}

/// A line that is text, whatever it begins with.
fn guarded(line: &str) -> String {
    if line.starts_with(['.', '\'']) { format!("\\&{line}") } else { line.to_owned() }
}

/// Text in which nothing means something to roff.
fn escaped(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\\' => "\\(rs".to_owned(),
            '-' => "\\-".to_owned(),
            '\'' => "\\(aq".to_owned(),
            '"' => "\\(dq".to_owned(),
            '`' => "\\(ga".to_owned(),
            '^' => "\\(ha".to_owned(),
            '~' => "\\(ti".to_owned(),
            c if c.is_ascii() => c.to_string(),
            c => format!("\\[u{:04X}]", u32::from(c)),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(markdown: &str) -> String {
        let title = Title { name: "x.y", section: "5", date: "2026-11-21", source: "x 1" };
        let page = page(title, markdown).unwrap();
        page.strip_prefix(".TH X.Y 5 2026-11-21 \"x 1\"\n").expect("the title comes first").to_owned()
    }

    #[test]
    fn parts_become_macros() {
        let text = "# Name\n\nx - *y* `z-1`\n\n## Sub\n\nA.\n\nB.\n\nT\n: one\n\n  two\n\n  ```\n  code\n  ```\n\nend\n";
        assert_eq!(
            body(text),
            ".SH NAME\nx \\- \\fIy\\fR \\fBz\\-1\\fR\n.SS Sub\nA.\n.PP\nB.\n.TP\n\\fBT\\fR\none\n.IP\ntwo\n.IP\n.EX\ncode\n.EE\n.PP\nend\n"
        );
        assert_eq!(body("`T`\n*U*\n: x\n"), ".TP\n\\fBT\\fR\n.TQ\n\\fIU\\fR\nx\n");
        assert_eq!(body("- a\n- b\n"), ".IP \\(bu 2\na\n.IP \\(bu 2\nb\n");
        assert_eq!(body("```\n.x 'a'\n```\n"), ".PP\n.RS 4\n.EX\n\\&.x \\(aqa\\(aq\n.EE\n.RE\n");
    }

    #[test]
    fn nothing_is_a_command_and_nothing_is_lost() {
        assert_eq!(body(".so x \\n"), ".PP\n\\&.so x \\(rsn\n");
        let long = body(&"word .x ".repeat(40));
        assert!(long.lines().all(|line| line.len() <= WIDTH && !line.starts_with(".x")), "{long}");
        let title = Title { name: "x", section: "5", date: "", source: "" };
        for text in ["1. one", "![picture](x)", "> quote", "<b>html</b>"] {
            assert!(page(title, text).is_err(), "{text}");
        }
    }
}

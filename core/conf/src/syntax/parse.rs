//! Lines, comments, assignments: a file's text → [`Script`].

use super::ast::{Assignment, Command, Element, Script, Value, Word};
use super::cursor::Cursor;
use super::word::{self, Context};
use super::{Certain, needs_bash, test};
use crate::special;

/// The longest text that we read, in bytes: what is made of a longer one may take much time and memory, for
/// which bash has limits. The longest real conf has 30 KB.
const LONGEST: usize = 128 << 10;

/// Parses a file.
///
/// # Errors
/// [`NeedsBash`](super::NeedsBash) for whatever is no plain assignment.
pub(crate) fn parse(text: &str) -> Certain<Script> {
    if text.len() > LONGEST {
        return needs_bash("a long text");
    }
    let mut cursor = Cursor::new(text);
    let mut commands = Vec::new();
    loop {
        cursor.skip_blanks();
        match cursor.peek() {
            None => return Ok(Script(commands)),
            Some('\n') => drop(cursor.next()),
            Some('#') => cursor.skip_line(),
            // An empty line that ends in CR LF. Bash looks for a command of that name, and finds none.
            Some('\r') if cursor.sees("\r\n") => drop(cursor.take("\r\n")),
            Some(';') => return needs_bash("a `;` with nothing before it"),
            Some(_) => command(&mut cursor, &mut commands)?,
        }
    }
}

/// One command up to its end: assignments, `export` with some, or one that hangs on a test.
fn command(cursor: &mut Cursor<'_>, commands: &mut Vec<Command>) -> Certain<()> {
    if let Some(after) = after_export(cursor) {
        *cursor = after;
        let exported = export(cursor)?;
        commands.extend(exported.into_iter().map(|assignment| Command { test: None, assignment }));
        return Ok(());
    }
    if cursor.take("[ ") {
        let test = Some(test::parse(cursor)?);
        commands.push(Command { test, assignment: assignment(cursor)? });
        cursor.skip_blanks_after_word()?;
        return if at_end(cursor)? { Ok(()) } else { needs_bash("a command behind a test") };
    }
    while !at_end(cursor)? {
        commands.push(Command { test: None, assignment: assignment(cursor)? });
        cursor.skip_blanks_after_word()?;
    }
    Ok(())
}

/// The place behind the word `export`, if that comes next.
fn after_export<'a>(cursor: &Cursor<'a>) -> Option<Cursor<'a>> {
    let mut after = cursor.clone();
    (after.take("export") && matches!(after.peek(), Some(' ' | '\t'))).then_some(after)
}

/// Whether a command ends here; its end is taken.
fn at_end(cursor: &mut Cursor<'_>) -> Certain<bool> {
    match cursor.peek() {
        None => Ok(true),
        Some('\n') => {
            cursor.next();
            Ok(true)
        }
        Some('#') => {
            cursor.skip_line();
            Ok(true)
        }
        Some(';') => {
            cursor.next();
            cursor.skip_blanks();
            if cursor.sees(";") || cursor.sees("&") { needs_bash("`;;`") } else { Ok(true) }
        }
        Some(_) => Ok(false),
    }
}

impl Cursor<'_> {
    /// A word must be followed by a blank or the command's end.
    fn skip_blanks_after_word(&mut self) -> Certain<()> {
        match self.peek() {
            None | Some(' ' | '\t' | '\n' | ';') => {
                self.skip_blanks();
                Ok(())
            }
            Some('\\') if self.sees("\\\n") => {
                self.skip_blanks();
                Ok(())
            }
            Some(_) => needs_bash("something right behind an assignment"),
        }
    }
}

/// `NAME=…` and the like; anything else is a command.
fn assignment(cursor: &mut Cursor<'_>) -> Certain<Assignment> {
    let Some(name) = cursor.take_name() else { return needs_bash("a command") };
    let index = if cursor.take("[") { Some(word::subscript(cursor)?) } else { None };
    let append = cursor.take("+=");
    if !append && !cursor.take("=") {
        return needs_bash("a command");
    }
    if special::is_special(name) {
        return needs_bash("a variable of bash's own is set");
    }
    let value = match cursor.peek() {
        Some('(') if index.is_none() => Value::Array(array(cursor)?),
        Some('(') => return needs_bash("an array in an array"),
        _ => Value::Scalar(word::parse(cursor, Context::Assignment)?),
    };
    Ok(Assignment { name: name.to_owned(), index, append, value })
}

/// `export NAME NAME=word …`. All words are expanded before any is assigned, so only one may use variables.
fn export(cursor: &mut Cursor<'_>) -> Certain<Vec<Assignment>> {
    let mut exported = Vec::new();
    let mut words = 0;
    cursor.skip_blanks();
    while !at_end(cursor)? {
        let Some(name) = cursor.take_name() else { return needs_bash("`export` of something else") };
        if special::is_special(name) {
            return needs_bash("a variable of bash's own is exported");
        }
        if cursor.take("=") {
            if cursor.sees("(") {
                return needs_bash("`export` of an array");
            }
            let word = word::parse(cursor, Context::Export)?;
            let (name, value) = (name.to_owned(), Value::Scalar(word));
            exported.push(Assignment { name, index: None, append: false, value });
        }
        words += 1;
        cursor.skip_blanks_after_word()?;
    }
    let expands = |one: &Assignment| matches!(&one.value, Value::Scalar(word) if word.expands());
    if words == 0 || (words > 1 && exported.iter().any(expands)) {
        return needs_bash("`export` of several words");
    }
    Ok(exported)
}

/// `(word word [3]=word …)`.
fn array(cursor: &mut Cursor<'_>) -> Certain<Vec<Element>> {
    cursor.take("(");
    let mut elements = Vec::new();
    loop {
        cursor.skip_blanks();
        match cursor.peek() {
            None => return needs_bash("an array without end"),
            Some('\n') => drop(cursor.next()),
            Some('#') => cursor.skip_line(),
            Some(')') => {
                cursor.next();
                return Ok(elements);
            }
            Some('[') => {
                cursor.next();
                let digits = cursor.take_until(|c| !c.is_ascii_digit());
                if digits.is_empty() || (digits.len() > 1 && digits.starts_with('0')) || !cursor.take("]=") {
                    return needs_bash("a pattern, or a computed index, in an array");
                }
                let Ok(index) = digits.parse() else { return needs_bash("a huge index") };
                let word: Word = word::parse(cursor, Context::Array)?;
                if word.expands() {
                    return needs_bash("a variable behind an index in an array");
                }
                elements.push(Element { index: Some(index), word });
            }
            Some(_) => elements.push(Element { index: None, word: word::parse(cursor, Context::Array)? }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::found::Given;

    #[test]
    fn what_is_not_certain_is_left_to_bash() {
        for text in [
            "echo x",
            "A=1 make",
            "if true; then A=1; fi",
            "A=$(ls)",
            "A=`ls`",
            "A=$1",
            "A=$?",
            "A=$$",
            "A=~/x",
            "A=x:~/y",
            "A=(*.c)",
            "A=({a,b})",
            "A=($B)x",
            "declare A=1",
            "local A",
            "unset A",
            "A=$RANDOM",
            "A=${BASH_SOURCE}",
            "A=$HOSTNAME",
            "PATH=/x",
            "IFS=:",
            "A=1 > x",
            "A=1 | cat",
            "A=1 && B=2",
            "A=1 &",
            ". ./x",
            "A=${!B}",
            "A=${B^^}",
            "A=${B:=x}",
            "A=${B?}",
            "A=$'x'",
            "A=$\"x\"",
            "A='x",
            "A=\"x",
            "A=${x",
            "A=${B:-'x'}",
            "A=${B%\\.*}",
            "A[-1]=x",
            "A[x=1]=y",
            "A=([x]=y)",
            "A=x(y)",
            "A=<(x)",
            ";",
            "A=1;;",
            "A=x\\",
            "[[ x ]]",
            "((x=1))",
            "(A=1)",
            "{ A=1; }",
            "export",
            "export -n A",
            "export A=$B C=$A",
            "A=$[1+1]",
            "A=${B@Q}",
            "A=${B/#x/y}",
            "A=\u{fffd}",
            "A=1 \r\n",
            "A[0]=(x)",
            "A+=1x B",
            "LC_ALL=x",
            "!",
            "A=${#}",
            "A=${@}",
            "A=${B[@]:1}",
            "A=$B\\\nC",
            "function f { :; }",
            "A==~x",
            "[ 1 -gt 2 ]",
            "[ $B -gt 2 ] && A=1",
            "[ 1 -gt 2 ] || A=1",
            "[ 1 -gt 2 ] && make",
            "[ 1 -gt 2 ] && A=1 B=2",
            "[ a = a ] && A=1",
            "[ 01 -eq 1 ] && A=1",
            "[[ 1 -gt 2 ]] && A=1",
        ] {
            assert!(!is_read(text), "{text:?} was read: {:?}", parse(text));
        }
    }

    fn is_read(text: &str) -> bool {
        let environment = dkms_base::host::Environment::default();
        let given = Given { variables: &[], environment: &environment, processors: None };
        parse(text).and_then(|script| super::super::run(&[&script], &given, &["A"])).is_ok()
    }

    #[test]
    fn what_would_take_our_stack_or_memory_or_time_is_left_to_bash() {
        let nested =
            |open: &str, close: &str, times| format!("A={}1{}", open.repeat(times), close.repeat(times));
        let grown = |times| format!("B=aaaaaaaaaa\n{}", "B=$B$B$B$B$B$B$B$B$B$B\n".repeat(times));
        let searched = |length| format!("B={}\nA=${{B//a*b/c}}", "a".repeat(length));
        assert!(is_read(&nested("${B:-", "}", 20)) && !is_read(&nested("${B:-", "}", 100_000)));
        let sum = |times| nested("(", ")", times).replacen("A=", "A=$((", 1) + "))";
        assert!(is_read(&sum(20)) && !is_read(&sum(100_000)));
        assert!(!is_read(&format!("A=$(({}1))", "- ".repeat(100_000))));
        assert!(is_read(&grown(3)) && !is_read(&grown(20)));
        assert!(is_read(&searched(100)) && !is_read(&searched(100_000)));
    }
}

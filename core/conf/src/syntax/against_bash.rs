//! The static tier against the real bash: whatever it reads, bash must read the same way.

use std::cell::Cell;
use std::fmt::Write as _;
use std::path::PathBuf;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use super::{parse, run};
use crate::bash::Bash;
use crate::found::{Found, Given};
use crate::raw::{RawConf, Tier};
use crate::{Directive, ere, second_pass};
use dkms_base::host::process::Process;
use dkms_base::host::{Environment, fs};

const NAMES: &[&str] = &["A", "B", "C", "E", "MAKE", "PATCH"];

/// What both tiers are given here.
struct World {
    dir: tempfile::TempDir,
    variables: Vec<(String, String)>,
    environment: Environment,
}

impl World {
    fn new() -> Self {
        let variables = [("kernelver", "6.1.0-47-amd64"), ("arch", "x86_64"), ("parallel_jobs", "8")];
        let environment =
            [("PATH", "/usr/bin:/bin"), ("LC_ALL", "C"), ("FROM_OUTSIDE", "out side"), ("D", "d")];
        Self {
            dir: tempfile::tempdir().unwrap(),
            variables: variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            environment: environment.into_iter().collect(),
        }
    }

    fn given(&self) -> Given<'_> {
        let processors = dkms_base::host::processors::nproc(&self.environment);
        Given { variables: &self.variables, environment: &self.environment, processors }
    }

    /// What bash says of several texts, each a conf of its own, read by one bash each; `None`
    /// for one it can't read.
    fn bash(&self, text: &str) -> Option<Found> {
        let file = self.dir.path().join("dkms.conf");
        drop(fs::remove_file(&file));
        fs::write_whole(&file, text.as_bytes(), 0o644).unwrap();
        let given = self.given();
        let bash =
            Bash { dir: self.dir.path(), given: &given, dest_override: None, wanted: NAMES, confined: None };
        bash.source(&[file]).ok()
    }

    /// Asserts that both tiers find the same, where the static one is certain. Says whether it was.
    fn agree(&self, text: &str) -> bool {
        let Ok(script) = parse(text) else { return false };
        let Ok(found) = run(&[&script], &self.given(), NAMES) else { return false };
        let other = self.bash(text).unwrap_or_else(|| panic!("bash can't read what we read: {text:?}"));
        assert_eq!(found.values, other.values, "{text:?}");
        true
    }
}

#[test]
fn corners() {
    let world = World::new();
    for text in [
        "A=1 B=$A\tC=$B",
        "A=1;B=2 ; C=3;",
        "A=x#y # z\nB=#x",
        "A='a'\"b\"c\\ d\\'",
        "A=\"a \\\" \\\\ \\$ \\` \\x 'q' $\"",
        "A=\"^5\\.(4|10)$\"\nB=a$ C='$x'$D",
        "A=\"one \\\ntwo\" \\\n B=x\\\ny",
        "A[3]=x A[1]=y A+=z A[1]+=w\nA+=(p q) A[0]+=0",
        "A=x\nA[2]=y\nB=${A[2]}${#A[@]}${#A[2]}${A[@]}\"${A[*]}\"$A",
        "A=(a 'b c' \"d $D\" $kernelver [7]=x y # z\n z\n)\nA=w",
        "A=()\nB=(x)\nB=()\nC=(\n)",
        "A=x; A=(y z); A=q; A+=r",
        "i=0\nA[$((++i))]=\"$i\" A[$i+1]=two A[i]+=more A[$((i+5))]=z\nA[i++]=k B=$i",
        "A=$((1 + 2*3 - (4-1)/2 % 5)) B=$((parallel_jobs*2)) C=$((-A + B--))",
        "A=${kernelver%%-*} B=${kernelver%-*} C=${kernelver##*.} D=${kernelver#*.}",
        "A=${kernelver/-/_} B=${kernelver//[0-9]/n} C=${kernelver//.} D=${kernelver/6.*-/x}",
        "A=${kernelver:0:3} B=${kernelver:4} C=${kernelver:99:1}x D=${kernelver:0:99}",
        "A=${none:-d} B=${none-d} C=${none:+d}x D=${none+d}x",
        "E=\nA=${E:-d} B=${E-d}x C=${E:+d}x D=${E+d}x",
        "A=${kernelver:-d} B=${kernelver:+d $arch} C=\"${none:-a b $arch}\" D=${#none}${#kernelver}",
        "A=$FROM_OUTSIDE B=\"$FROM_OUTSIDE\" C=$D D+=x",
        "export A=$kernelver\nexport B C=c\nexport B=\"x y\" # z",
        "export A=1 B=2;C=3",
        "A=[x] B=* C={a,b} D=a?b",
        "A=1.0~beta B=x~ C=a:b",
        "A=!x B=a!b C='!' D=\"!\"",
        "A=\"${kernelver%.*}\" B=\"${arch:+-$arch}\" C=\"${none:-}\"",
        "A=é B=\"ü\" C='ß'",
        "A=x\r\n\r\nB=\"y\"\r\n",
        "# only\n\n   # comments",
        "A=$(nproc) B=\"-j`nproc`\" C=`nproc`x",
        "N=$(nproc)\n[ $N -gt 0 ] && A=yes\n[ 3 -le 2 ] && A=no ; B=1\n[ \"$N\"  -ne 5 ]   &&   C=x # y",
        "A=\"a\nb\tc\" B='d\ne'",
        "kernelver=mine A=$kernelver",
        "A=+1 B=a=b C==x D=a+=b",
        "A=${B:-$C}${C:-${B:-deep}}",
        "A_1=x A=$A_1y B=${A_1}y C=$A_1-y",
        "A=a\\\nb\"c\\\nd\"'e\\\nf'",
    ] {
        let before = world.agree(text);
        assert!(before, "left to bash: {text:?}");
    }
}

/// Pieces of words that the static tier reads, mostly.
fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[a-zA-Z0-9_./:,+=@%^#-]{1,4}",
        1 => "[*?{}!~-]",
        2 => "'[a-z $\"\\\\*]{0,4}'",
        1 => "\\\\[a-z$ \"'\\\\\n]",
        3 => "\"[a-z $'.\\\\~*#;&()]{0,5}\"",
        4 => "[$](A|B|C|D|kernelver|none|FROM_OUTSIDE)",
        2 => "[$]\\{(A|B|C|kernelver|none)(:-|-|:[+]|[+])[a-z$ ]{0,3}\\}",
        2 => "[$]\\{(A|B|C|kernelver|none)(#|##|%|%%)[a-z0-9*?.-]{0,3}\\}",
        2 => "[$]\\{(A|B|kernelver)(/|//)[0-9a-z*?.\\[\\]-]{0,3}(/[a-z$]{0,2})?\\}",
        2 => "[$]\\{(A|B|kernelver):[0-9]{1,2}(:[0-9]{1,2})?\\}",
        2 => "[$]\\{#?(A|B|C)(\\[[0-3@*]\\])?\\}",
        1 => "[$]\\(\\([0-9ABi+* ()-]{1,6}\\)\\)",
        1 => "\"[$](A|B|C|none)\"",
        1 => "\"[$]\\{(A|B|kernelver)(%|#|/|:|:-)[a-z0-9*.$-]{1,3}\\}\"",
        1 => "[$][a-z0-9 \"'\\\\({]?",
        1 => "[`();&|<>]",
    ]
}

fn word() -> impl Strategy<Value = String> {
    prop::collection::vec(piece(), 0..4).prop_map(|pieces| pieces.concat())
}

fn statement() -> impl Strategy<Value = String> {
    prop_oneof![
        5 => ("[ABC]", word()).prop_map(|(name, word)| format!("{name}={word}")),
        1 => ("[ABC]", word()).prop_map(|(name, word)| format!("{name}+={word}")),
        2 => ("[ABC]", "[0-4]|i|[$]i|[$]\\(\\([+][+]i\\)\\)", word()).prop_map(|(n, i, w)| format!("{n}[{i}]={w}")),
        1 => ("[ABC]", "[0-4]", word()).prop_map(|(n, i, w)| format!("{n}[{i}]+={w}")),
        2 => ("[ABC]", "[+]?=", prop::collection::vec(word(), 0..4), "[ \n]")
            .prop_map(|(name, sign, words, blank)| format!("{name}{sign}({})", words.join(&blank))),
        1 => ("[ABC]", "[0-9]", word()).prop_map(|(n, i, w)| format!("{n}=([{i}]={w} x)")),
        1 => ("[ABC]", word()).prop_map(|(name, word)| format!("export {name}={word}")),
        1 => "i=[0-9]",
        1 => "#[a-z $'\"\\\\]{0,5}",
        1 => ("-(gt|lt|eq|ne|ge|le)", "[0-9]", word()).prop_map(|(op, n, w)| format!("[ $i {op} {n} ] && A={w}")),
    ]
}

/// Checks a property over random values, each of which the static tier may answer or leave to bash: until it
/// has answered a hundred, or the property would hold for the wrong reason. It answers a third or so; where
/// it answers less than one in thirty the test fails.
fn answered<S: Strategy>(strategy: S, is_answered: impl Fn(S::Value) -> Result<bool, TestCaseError>) {
    const WANTED: usize = 100;
    const ROUNDS: u32 = 30;
    let config = ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() };
    let count = Cell::new(0);
    let property = |value| is_answered(value).map(|answered| count.set(count.get() + usize::from(answered)));
    for _ in 0..ROUNDS {
        TestRunner::new(config.clone()).run(&strategy, property).unwrap_or_else(|error| panic!("{error}"));
        if count.get() >= WANTED {
            return;
        }
    }
    panic!("the static tier answered {} of {ROUNDS} hundred", count.get());
}

#[test]
fn what_is_read_is_read_as_bash_reads_it() {
    let statements = prop::collection::vec((statement(), "[\n; ]|\r\n| \\\\\n"), 1..5);
    answered(statements, |statements| {
        let mut text = String::new();
        for (statement, end) in &statements {
            write!(text, "{statement}{end}").unwrap();
        }
        Ok(World::new().agree(&text))
    });
}

#[test]
fn the_second_pass_is_that_of_bash() {
    let value = "([a-z]|  |\t|\n|\\\\|[$]|[$]kernelver|[$]\\{MAKE\\}|[$]\\{x:-y\\}|\"|'|~|[*]|/){0,9}";
    answered(prop::collection::vec(value, 1..4), |values| {
        let world = World::new();
        let given = world.given();
        let bash =
            Bash { dir: world.dir.path(), given: &given, dest_override: None, wanted: NAMES, confined: None };
        let mut raw = RawConf::default();
        for (index, value) in values.iter().enumerate() {
            raw.set(if index == 1 { Directive::Patch } else { Directive::Make }, index, value.as_str());
        }
        let mut other = raw.clone();
        let file = PathBuf::from("/x/dkms.conf");
        let usual = second_pass::apply(&mut raw, &bash, &file, true);
        let is_answered = usual.is_ok() && raw.second_tier == Tier::Static;
        if is_answered {
            second_pass::apply(&mut other, &bash, &file, false).unwrap();
            prop_assert_eq!(raw.values, other.values, "{:?}", values);
        }
        Ok(is_answered)
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn expressions_match_as_in_bash(
        pattern in "([a-c0-3.^$*+?|()-]|\\[[a-c^-]{1,3}\\]|\\\\[.a-z$(]|[{][0-3](,[0-3]?)?[}]|\\[\\[:digit:\\]\\]){0,6}",
        text in "[a-c0-3.\n -]{0,6}",
    ) {
        let environment: Environment = [("LC_ALL", "C")].into_iter().collect();
        let script = "[[ $1 =~ $2 ]]";
        let args = ["-c", script, "bash", text.as_str(), pattern.as_str()];
        let theirs = Process::new("/bin/bash", args, &environment).capture().unwrap().code() == 0;
        prop_assert_eq!(ere::matches(&pattern, &text), theirs, "{:?} {:?}", pattern, text);
    }
}

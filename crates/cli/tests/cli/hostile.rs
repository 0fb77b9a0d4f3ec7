//! Hostile names and outputs: none of them controls the terminal, breaks a line or a command to paste.

use crate::place::Place;

const HOSTILE: &str = r#""""Title \x1b]0;evil\x07 \u202egnp"""

def main():
    for name in NAMES:
        attempt("try " + name, one, name)
    step(NAMES[0], sh("printf '\\033[2Jgone\\n' >&2; exit 4"))

NAMES = ["new\nline", "quote ' \" `x` $(rm -rf /)", "a/b", "emoji 🧗 日本", "\x1b[31mred", "tab\tand\rreturn", "-- --flag", "%41", "\u202ereversed"]

def one(name):
    step(name, sh("printf 'out \\033[31mred\\r\\n'; printf '\\033]0;evil\\007err\\n' >&2"))
    emit("x " + name, "\x1b[31m")
    note("\x1b[2J")
"#;

/// Line ends aside, nothing in it moves a cursor.
fn harmless(text: &str) {
    let bad: Vec<char> =
        text.chars().filter(|c| (c.is_control() && !matches!(c, '\n' | '\t')) || *c == '\u{202e}').collect();
    assert!(bad.is_empty(), "{bad:?} in {text:?}");
}

#[test]
fn no_name_and_no_output_controls_the_terminal() {
    let place = Place::with(HOSTILE);
    let ran = place.ran(&["run", "book.star"]).ends(1);
    harmless(&ran.out);
    harmless(&ran.err);
    assert!(ran.out.lines().all(|line| line.as_bytes()[2] == b':'), "an event took more than a line: {}", ran.out);
    for words in [
        &["show", "@last"][..],
        &["runs"],
        &["logs", "@last"],
        &["undo", "@last", "--plan"],
        &["watch", "@last"],
        &["receipt", "@last", "--format", "md"],
    ] {
        let ran = place.ran(words);
        harmless(&ran.out);
        harmless(&ran.err);
    }
    harmless(&place.ran(&["logs", "@last", "--", "try a%2Fb/a%2Fb"]).ends(0).says("out ␛[31mred").out);
}

#[test]
fn every_command_offered_can_be_pasted_into_a_shell() {
    for name in [
        "new\\nline",
        "quote ' \\\" `x` $(touch pwned)",
        "a/b",
        "emoji 🧗 日本",
        "\\x1b[31mred",
        "-- --flag",
        "%41",
        "$HOME",
    ] {
        let place = Place::with(&format!("def main():\n    step(\"{name}\", sh(\"test -e mended\"))\n"));
        let ran = place.ran(&["run", "book.star"]).ends(1);
        let command =
            ran.err.lines().find_map(|line| line.split_once("try it again").map(|(_, rest)| rest.trim().to_owned()));
        let command = command.unwrap_or_else(|| panic!("no command in {}", ran.err));
        std::fs::write(place.path("mended"), "").unwrap();
        let binary = std::path::Path::new(env!("CARGO_BIN_EXE_piton")).parent().unwrap();
        let path = format!("{}:{}", binary.display(), std::env::var("PATH").unwrap());
        let output = std::process::Command::new("bash")
            .args(["-c", &command])
            .current_dir(place.path(""))
            .env("PATH", path)
            .env("PITON_HOME", place.home())
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(0), "{command}: {}", String::from_utf8_lossy(&output.stderr));
        assert!(!place.path("pwned").exists());
    }
}

#[test]
fn a_secret_is_masked_wherever_a_run_is_looked_at() {
    let place = Place::with(
        r#"
def main(token: secret):
    step("use", sh("echo got $TOKEN; echo $TOKEN | base64 >&2; exit 3", env = {"TOKEN": token}))
"#,
    );
    let secret = "hunter2-hunter2-hunter2";
    let ran = place.piton(&["run", "book.star", "--token", "env:TOKEN"]).env("TOKEN", secret).ran().ends(1);
    let mut seen = format!("{}{}", ran.out, ran.err);
    assert!(seen.contains("got «secret token»"), "{seen}");
    for words in [
        &["show", "@last"][..],
        &["show", "@last", "--json"],
        &["logs", "@last"],
        &["logs", "@last", "use"],
        &["watch", "@last", "--json"],
        &["receipt", "@last"],
        &["receipt", "@last", "--format", "md"],
        &["undo", "@last", "--plan"],
    ] {
        let ran = place.ran(words);
        seen.push_str(&ran.out);
        seen.push_str(&ran.err);
    }
    // In plain, and as base64 with and without the line end that `echo` adds.
    for form in [secret, "aHVudGVyMi1odW50ZXIyLWh1bnRlcjI", "hunter2"] {
        assert!(!seen.contains(form), "{form} is in {seen}");
    }
}

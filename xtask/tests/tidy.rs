//! The house rules that a compiler does not hold: which crate may depend on which, how long files and functions get,
//! how files open, and which words stay out.
//!
//! Ratchets only go down: when a file becomes shorter, lower its number here.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Lines of a source file, tests included.
const MAX_FILE_LINES: usize = 600;
/// Lines of a function, from `fn` to its closing brace.
const MAX_FUNCTION_LINES: usize = 70;
/// Lines of a function in tests, where rows of data are one function.
const MAX_TEST_FUNCTION_LINES: usize = 300;

/// Files that are longer than they should be, each with its length. Never add one; lower or remove them.
const LONG_FILES: &[(&str, usize)] = &[];
/// Functions that are longer than they should be, by file.
///
/// Those of `lang` are `#[starlark_module]` blocks: lists of short functions that the macro wants in one. Those of `core`
/// are one arm for each event.
const LONG_FUNCTIONS: &[(&str, usize)] = &[
    ("crates/core/src/state/apply.rs", 99),
    ("crates/lang/src/builtins/actions.rs", 146),
    ("crates/lang/src/builtins/guarded.rs", 78),
    ("crates/lang/src/builtins/options.rs", 93),
    ("crates/lang/src/builtins/people.rs", 78),
    ("crates/lang/src/builtins/scopes.rs", 85),
    ("crates/lang/src/builtins/step.rs", 73),
    ("crates/lang/src/values/outcome.rs", 110),
];

/// Which of our crates each may depend on. Development dependencies are free, but for `core`.
fn allowed() -> BTreeMap<&'static str, &'static [&'static str]> {
    BTreeMap::from([
        ("piton-core", &[][..]),
        ("piton-lang", &["piton-core"][..]),
        ("piton-engine", &["piton-core"][..]),
        ("piton-store", &["piton-core"][..]),
        ("piton-steps", &["piton-core"][..]),
        (
            "piton-cli",
            &["piton-core", "piton-lang", "piton-engine", "piton-steps", "piton-store", "piton-gate", "piton-move"][..],
        ),
        ("piton-move", &["piton-gate"][..]),
        ("piton-gate", &[][..]),
        ("piton-testkit", &[][..]),
        ("piton-campaigns", &["piton-core", "piton-lang", "piton-store", "piton-move"][..]),
        ("xtask", &["piton-testkit", "piton-core", "piton-store"][..]),
    ])
}

/// What only one crate may use: dependency and its owners.
const OWNED: &[(&str, &[&str])] = &[
    ("starlark", &["piton-lang"]),
    ("rusqlite", &["piton-store", "piton-steps", "xtask"]),
    ("mysql_async", &["piton-steps", "piton-move", "piton-testkit"]),
    ("tokio-postgres", &["piton-steps"]),
    ("ureq", &["piton-steps"]),
    ("clap", &["piton-cli"]),
    ("tokio", &["piton-steps", "piton-move", "piton-testkit", "piton-gate", "piton-cli"]),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask is below the root").to_path_buf()
}

fn sources() -> Vec<(String, String)> {
    let output = Command::new("git").args(["ls-files", "*.rs"]).current_dir(root()).output().expect("git ls-files");
    let names = String::from_utf8(output.stdout).expect("file names are text");
    names.lines().filter_map(|name| Some((name.to_owned(), std::fs::read_to_string(root().join(name)).ok()?))).collect()
}

#[test]
fn dependencies_run_one_way() {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--no-deps", "--offline"])
        .current_dir(root())
        .output()
        .expect("cargo metadata");
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).expect("cargo metadata is JSON");
    let allowed = allowed();
    let mut wrong = BTreeSet::new();
    for package in metadata["packages"].as_array().expect("packages") {
        let name = package["name"].as_str().expect("name");
        let Some(may) = allowed.get(name) else {
            wrong.insert(format!("{name} is not in the table of crates: say what it may depend on"));
            continue;
        };
        for dependency in package["dependencies"].as_array().expect("dependencies") {
            let on = dependency["name"].as_str().expect("name");
            let for_tests = dependency["kind"] == "dev";
            let ours = on.starts_with("piton-");
            if ours && !for_tests && !may.contains(&on) {
                wrong.insert(format!("{name} must not depend on {on}"));
            }
            let owners = OWNED.iter().find(|(owned, _)| *owned == on).map(|(_, owners)| *owners);
            if !for_tests && owners.is_some_and(|owners| !owners.contains(&name)) {
                wrong.insert(format!("{name} must not know {on}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_file_opens_with_its_purpose() {
    let silent: Vec<_> =
        sources().into_iter().filter(|(_, text)| !text.starts_with("//!")).map(|(name, _)| name).collect();
    assert!(
        silent.is_empty(),
        "these files do not open with //! (purpose, what it owns, what it never does): {silent:#?}"
    );
}

#[test]
fn files_fit_a_few_screens() {
    let known: BTreeMap<_, _> = LONG_FILES.iter().copied().collect();
    let mut wrong = Vec::new();
    for (name, text) in sources() {
        let lines = text.lines().count();
        let limit = known.get(name.as_str()).copied().unwrap_or(MAX_FILE_LINES);
        if lines > limit {
            wrong.push(format!("{name}: {lines} lines, at most {limit}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn functions_fit_a_screen() {
    let known: BTreeMap<_, _> = LONG_FUNCTIONS.iter().copied().collect();
    let mut wrong = Vec::new();
    for (name, text) in sources() {
        let test = name.contains("/tests/") || name.ends_with("tests.rs");
        let usual = if test { MAX_TEST_FUNCTION_LINES } else { MAX_FUNCTION_LINES };
        let limit = known.get(name.as_str()).copied().unwrap_or(usual);
        for (line, length) in functions(&text) {
            if length > limit {
                wrong.push(format!("{name}:{line}: a function of {length} lines, at most {limit}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// First line and length of each function, told by rustfmt's indentation.
fn functions(text: &str) -> Vec<(usize, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        let code = line.trim_start();
        let indent = line.len() - code.len();
        let words: Vec<&str> = code.split(' ').take(5).collect();
        let starts = words.contains(&"fn") && !code.starts_with("//") && !code.starts_with('"');
        if !starts || code.ends_with([';', '}']) {
            continue;
        }
        let end = format!("{}}}", " ".repeat(indent));
        if let Some(length) = lines[index..].iter().position(|line| *line == end) {
            found.push((index + 1, length + 1));
        }
    }
    found
}

#[test]
fn the_function_counter_counts() {
    let text = "impl X {\n    pub fn a() {\n        b();\n    }\n}\nfn c() {\n}\n";
    assert_eq!(functions(text), [(2, 3), (6, 2)]);
}

#[test]
fn nothing_is_left_unfinished() {
    // Spelt apart, so that this file does not find itself.
    let marks = [concat!("to", "do!("), concat!("unimpl", "emented!("), concat!("FIX", "ME"), concat!("#[ig", "nore]")];
    // A test that another one starts in a process of its own, or one that takes long, says so: `= "why"`.
    let mut found = Vec::new();
    for (name, text) in sources() {
        for (index, line) in text.lines().enumerate() {
            if marks.iter().any(|mark| line.contains(mark)) {
                found.push(format!("{name}:{}: {}", index + 1, line.trim()));
            }
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

/// The table of faults is worth something only while each test in it exists.
#[test]
fn every_test_that_the_table_of_faults_names_exists() {
    let table = std::fs::read_to_string(root().join("docs/design/004-bad-input-and-faults.md")).expect("the table");
    let sources = sources();
    let mut named = 0;
    let mut wrong = Vec::new();
    for word in table.lines().filter(|line| line.starts_with('|')).flat_map(|line| line.split('`').skip(1).step_by(2)) {
        let found = if word.ends_with(".rs") {
            // From the crates' folder, or below a crate that the line goes on to name.
            sources.iter().any(|(name, _)| name == &format!("crates/{word}"))
        } else if word.starts_with("make ") || word.starts_with("--") {
            continue;
        } else {
            let (module, function) = word.rsplit_once("::").unwrap_or(("", word));
            let definition = format!("fn {function}(");
            sources.iter().any(|(name, text)| name.contains(module) && text.contains(&definition))
        };
        named += 1;
        if !found {
            wrong.push(word);
        }
    }
    assert!(named > 50, "only {named} tests are found in the table");
    assert!(wrong.is_empty(), "the table of faults names tests that do not exist: {wrong:#?}");
}

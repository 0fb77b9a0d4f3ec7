//! A case of the suite: one SQL file, read by its comments.
//!
//! ```sql
//! -- covers: Keys: unique swaps within a transaction     (lines of the checklist, separated by `;`)
//! -- verdict: equal                                      (or `refused: words`, or `halted: words`)
//! -- tidb: refused: words                                (where TiDB's verdict differs)
//! -- tables: t, p                                        (`t` when it does not say)
//! -- limits: part_bytes=1000                             (where the usual ones do not do)
//! create table t ...                                     both sides
//! -- on the target / -- on tidb                          the target's, where it differs (TiDB's only)
//! -- rows                                                on the source, before the move begins
//! -- while copying                                       any number of these: one before each further chunk is read
//! -- afterwards                                          once all is copied
//! ```
//!
//! Owns that form. Never runs anything.

use std::path::{Path, PathBuf};

/// How a case must end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    Equal,
    /// The preflight says these words.
    Refused(String),
    /// The mover stops at a change, with these words.
    Halted(String),
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Case {
    /// Folder and file, such as `keys_swap`: also the name of its schema.
    pub(crate) name: String,
    pub(crate) covers: Vec<String>,
    verdicts: [Option<Verdict>; 2],
    pub(crate) tables: Vec<String>,
    pub(crate) limits: Vec<(String, usize)>,
    pub(crate) schema: String,
    on_target: Option<String>,
    on_tidb: Option<String>,
    pub(crate) rows: String,
    pub(crate) while_copying: Vec<String>,
    pub(crate) afterwards: String,
}

impl Case {
    pub(crate) fn verdict(&self, tidb: bool) -> &Verdict {
        let own = if tidb { self.verdicts[1].as_ref() } else { None };
        own.or(self.verdicts[0].as_ref()).expect("every case has a verdict")
    }

    pub(crate) fn target_schema(&self, tidb: bool) -> &str {
        let own = if tidb { self.on_tidb.as_ref() } else { None };
        own.or(self.on_target.as_ref()).unwrap_or(&self.schema)
    }
}

/// All cases below a folder, in the order of their names.
pub(crate) fn all(folder: &Path) -> Vec<Case> {
    let mut files: Vec<PathBuf> = Vec::new();
    for area in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()) {
        files.extend(std::fs::read_dir(area).unwrap().map(|entry| entry.unwrap().path()));
    }
    files.sort();
    files.iter().map(|file| read(file)).collect()
}

fn read(file: &Path) -> Case {
    let of = |path: &Path| path.file_stem().unwrap().to_string_lossy().into_owned();
    let name = format!("{}_{}", of(file.parent().unwrap()), of(file));
    let mut case = Case { name, tables: vec!["t".to_owned()], ..Case::default() };
    let text = std::fs::read_to_string(file).unwrap();
    let mut into: fn(&mut Case) -> &mut String = |case| &mut case.schema;
    for line in text.lines() {
        match line.strip_prefix("-- ") {
            Some("on the target") => into = |case| case.on_target.get_or_insert_default(),
            Some("on tidb") => into = |case| case.on_tidb.get_or_insert_default(),
            Some("rows") => into = |case| &mut case.rows,
            Some("while copying") => {
                case.while_copying.push(String::new());
                into = |case| case.while_copying.last_mut().unwrap();
            }
            Some("afterwards") => into = |case| &mut case.afterwards,
            Some(comment) => head(&mut case, comment),
            None => {
                let sql = into(&mut case);
                sql.push_str(line);
                sql.push('\n');
            }
        }
    }
    assert!(case.verdicts[0].is_some() && !case.covers.is_empty(), "{}: no verdict or no line of the list", case.name);
    case
}

/// Comments without a known word are for the reader.
fn head(case: &mut Case, comment: &str) {
    let list = |text: &str, by: char| text.split(by).map(|part| part.trim().to_owned()).collect::<Vec<_>>();
    match comment.split_once(": ") {
        Some(("covers", lines)) => case.covers.extend(list(lines, ';')),
        Some(("verdict", words)) => case.verdicts[0] = Some(verdict(words)),
        Some(("tidb", words)) => case.verdicts[1] = Some(verdict(words)),
        Some(("tables", names)) => case.tables = list(names, ','),
        Some(("limits", limits)) => {
            let pair = |limit: &String| {
                let (name, value) = limit.split_once('=').unwrap();
                (name.to_owned(), value.parse().unwrap())
            };
            case.limits = list(limits, ',').iter().map(pair).collect();
        }
        _ => {}
    }
}

fn verdict(words: &str) -> Verdict {
    match words.split_once(": ") {
        None if words == "equal" => Verdict::Equal,
        Some(("refused", words)) => Verdict::Refused(words.to_owned()),
        Some(("halted", words)) => Verdict::Halted(words.to_owned()),
        _ => panic!("{words} is no verdict"),
    }
}

//! The arrows between the folders of `src`, tested: they point one way only.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::path::{Path, PathBuf};

/// What each folder may name of the others. What is not listed may be used by all.
const LAYERS: [(&str, &[&str]); 6] = [
    ("binding", &["worker"]),
    ("worker", &["engine"]),
    ("engine", &["database", "repository", "storage"]),
    ("database", &["storage"]),
    ("repository", &["storage"]),
    ("storage", &[]),
];

/// Crates that one folder alone may name, by the beginning of their names.
const CRATES: [(&str, &str); 4] = [
    ("rusqlite", "database"),
    ("libsqlite3_sys", "database"),
    ("aws_", "storage"),
    ("napi", "binding"),
];

/// Every source file: its folder below `src` (empty for `src` itself), its path, its lines of code.
fn sources() -> Vec<(String, PathBuf, Vec<String>)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut folders, mut sources) = (vec![root.clone()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let below = path.strip_prefix(&root).unwrap().to_path_buf();
                let mut parts = below.iter().map(|part| part.to_str().unwrap());
                let layer = if below.iter().count() > 1 {
                    parts.next().unwrap()
                } else {
                    ""
                };
                let text = std::fs::read_to_string(&path).unwrap();
                let code = text.lines().map(code_of);
                sources.push((layer.to_owned(), below.clone(), code.collect()));
            }
        }
    }
    assert!(sources.len() > 50, "the sources were found");
    sources
}

/// A line without its strings and its comment.
fn code_of(line: &str) -> String {
    let outside: String = line.split('"').step_by(2).collect();
    outside.split("//").next().unwrap_or_default().to_owned()
}

/// The identifiers in a line.
fn names(line: &str) -> impl Iterator<Item = &str> {
    line.split(|c: char| !(c.is_alphanumeric() || c == '_'))
        .filter(|word| !word.is_empty())
}

#[test]
fn each_layer_uses_only_those_below_it() {
    let mut wrong = Vec::new();
    for (layer, path, code) in sources() {
        let Some((_, allowed)) = LAYERS.iter().find(|(name, _)| *name == layer) else {
            continue;
        };
        for line in &code {
            assert!(
                !line.contains("crate::{"),
                "{}: one `use` for each module, please",
                path.display()
            );
            for named in line.split("crate::").skip(1).filter_map(|rest| names(rest).next()) {
                let is_layer = LAYERS.iter().any(|(name, _)| *name == named);
                if is_layer && named != layer && !allowed.contains(&named) {
                    wrong.push(format!("{}: {}", path.display(), line.trim()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn each_foreign_world_is_named_in_one_folder_only() {
    let mut wrong = Vec::new();
    for (layer, path, code) in sources() {
        // This file has to name them all.
        if path == Path::new("layers.rs") {
            continue;
        }
        for line in &code {
            for (foreign, home) in CRATES {
                if layer != home && names(line).any(|name| name.starts_with(foreign)) {
                    wrong.push(format!("{}: {}", path.display(), line.trim()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_all_layers_share_uses_none_of_them() {
    for (layer, path, code) in sources() {
        let shared = ["config.rs", "error.rs", "failpoint.rs", "finding.rs", "record.rs"]
            .iter()
            .any(|file| path == Path::new(file));
        if layer.is_empty() && shared {
            for (name, _) in LAYERS {
                let line = code.iter().find(|line| line.contains(&format!("crate::{name}")));
                assert_eq!(line, None, "{}", path.display());
            }
        }
    }
}

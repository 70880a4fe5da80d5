//! Who may know whom: the allowed edges between our crates, as one table.
//!
//! An unknown crate fails: a new one gets a line here, and the line is what a review looks at.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use serde::Deserialize;

use crate::step::cargo;

/// A service stands on the platform and on the contract, never on another service.
const SERVICE: &[&str] = &["kit", "rpc", "db", "bus", "kv", "contract"];

/// Each crate, and those of ours that it may know.
const KNOWS: &[(&str, &[&str])] = &[
    ("kit", &[]),
    ("rpc", &["kit"]),
    ("kv", &["kit"]),
    ("db", &["kit"]),
    ("bus", &["kit", "db"]),
    ("contract", &["kit", "rpc"]),
    ("member", SERVICE),
    ("catalog", SERVICE),
    ("order", SERVICE),
    ("payment", SERVICE),
    // The edge knows what the services promise, never where the data lies.
    ("gateway", &["kit", "rpc", "kv", "contract"]),
    // The crowd sees the market from outside.
    ("rush", &["kit", "contract"]),
    // Only the binary knows the services.
    (
        "jangteo",
        &["kit", "rpc", "db", "bus", "kv", "contract", "member", "catalog", "order", "payment", "gateway", "rush"],
    ),
    ("xtask", &[]),
];

/// Crates that speak SQL; nobody else may even list a database library.
const SPEAKS_SQL: &[&str] = &["db", "bus", "member", "catalog", "order", "payment", "jangteo", "rush"];
const DATABASE: &[&str] = &["sea-orm", "sea-orm-migration", "sqlx"];

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    /// Present for those of this workspace.
    path: Option<String>,
}

/// Compares the manifests with the table. Errors: every edge that is not allowed.
pub fn check(root: &Path) -> Result<String> {
    let output = cargo(root)
        .args(["metadata", "--format-version", "1", "--no-deps"])
        .output()
        .context("cannot run cargo metadata")?;
    ensure!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: Metadata = serde_json::from_slice(&output.stdout)?;
    let wrong = judge(&metadata.packages);
    let edges: usize = metadata.packages.iter().map(|package| ours(package).count()).sum();
    match wrong.is_empty() {
        true => Ok(format!("{} crates, {edges} edges, all allowed", metadata.packages.len())),
        false => bail!("{}", wrong.join("\n")),
    }
}

fn judge(packages: &[Package]) -> Vec<String> {
    let table: BTreeMap<&str, &[&str]> = KNOWS.iter().copied().collect();
    let mut wrong = Vec::new();
    for package in packages {
        let name = package.name.as_str();
        let Some(allowed) = table.get(name) else {
            wrong.push(format!("{name} is not in the table of crates (xtask/src/graph.rs)"));
            continue;
        };
        for known in ours(package).filter(|known| !allowed.contains(known)) {
            wrong.push(format!("{name} must not know {known}"));
        }
        let sql = package.dependencies.iter().filter(|dependency| DATABASE.contains(&dependency.name.as_str()));
        for library in sql.filter(|_| !SPEAKS_SQL.contains(&name)) {
            wrong.push(format!("{name} must not speak SQL (it lists {})", library.name));
        }
    }
    let gone = table.keys().filter(|name| packages.iter().all(|package| package.name != **name));
    wrong.extend(gone.map(|name| format!("{name} is in the table of crates but not in the workspace")));
    wrong
}

fn ours(package: &Package) -> impl Iterator<Item = &str> {
    package
        .dependencies
        .iter()
        .filter(|dependency| dependency.path.is_some())
        .map(|dependency| dependency.name.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The whole table as packages, with one more edge.
    fn with(from: &str, to: &str, path: Option<&str>) -> Vec<String> {
        let packages: Vec<Package> = KNOWS
            .iter()
            .map(|(name, _)| Package {
                name: (*name).to_owned(),
                dependencies: match *name == from {
                    true => vec![Dependency { name: to.to_owned(), path: path.map(str::to_owned) }],
                    false => Vec::new(),
                },
            })
            .collect();
        judge(&packages)
    }

    #[test]
    fn forbidden_edges_are_found() {
        let ours = Some("/somewhere");
        assert!(with("order", "db", ours).is_empty());
        for (from, to) in
            [("order", "payment"), ("gateway", "db"), ("kit", "rpc"), ("contract", "kv"), ("rush", "order")]
        {
            assert_eq!(with(from, to, ours), [format!("{from} must not know {to}")]);
        }
        assert_eq!(with("gateway", "sqlx", None).len(), 1);
        assert!(with("db", "sqlx", None).is_empty());
    }

    #[test]
    fn unknown_and_missing_crates_are_found() {
        let stranger = Package { name: "stranger".into(), dependencies: Vec::new() };
        assert_eq!(judge(&[stranger]).len(), 1 + KNOWS.len());
    }
}

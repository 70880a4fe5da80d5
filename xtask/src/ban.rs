//! What may be in the dependency tree. `cargo deny` where it is installed; otherwise the same bans and licences, read
//! from the same deny.toml, over what cargo itself says it builds.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use serde::Deserialize;

use crate::step::cargo;

#[derive(Deserialize)]
struct Deny {
    bans: Bans,
    licenses: Licenses,
}

#[derive(Deserialize)]
struct Bans {
    deny: Vec<Banned>,
}

#[derive(Deserialize)]
struct Banned {
    #[serde(rename = "crate")]
    name: String,
}

#[derive(Deserialize)]
struct Licenses {
    allow: Vec<String>,
}

/// Errors: every crate that must not be there, every licence that is not allowed.
pub fn check(root: &Path) -> Result<String> {
    let deny = |words: &[&str]| cargo(root).arg("deny").args(words).output();
    if deny(&["--version"]).is_ok_and(|output| output.status.success()) {
        // Advisories need the network and change under our feet: they are for a person to run.
        let output = deny(&["check", "bans", "licenses", "sources"]).context("cannot run cargo deny")?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        return Ok("cargo deny: bans, licences and sources are fine".into());
    }
    let text = std::fs::read_to_string(root.join("deny.toml")).context("cannot read deny.toml")?;
    let rules: Deny = toml::from_str(&text).context("deny.toml")?;
    let tree = tree(root)?;
    let wrong = judge(&rules, &tree);
    match wrong.is_empty() {
        true => Ok(format!("{} crates in the tree, none banned, all licences allowed", tree.len())),
        false => bail!("{}", wrong.join("\n")),
    }
}

/// Name and licence of everything that is built, for any platform, with all features.
fn tree(root: &Path) -> Result<BTreeSet<(String, String)>> {
    let output = cargo(root)
        .args(["tree", "--workspace", "--edges", "normal,build", "--target", "all", "--all-features", "--locked"])
        .args(["--prefix", "none", "--no-dedupe", "--format", "{p}|{l}"])
        .output()
        .context("cannot run cargo tree")?;
    ensure!(output.status.success(), "cargo tree: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).context("cargo tree")?;
    let line = |line: &str| {
        let (package, license) = line.split_once('|')?;
        Some((package.split(' ').next()?.to_owned(), license.trim().to_owned()))
    };
    Ok(text.lines().filter_map(line).collect())
}

fn judge(rules: &Deny, tree: &BTreeSet<(String, String)>) -> Vec<String> {
    let mut wrong = Vec::new();
    for (name, license) in tree {
        if rules.bans.deny.iter().any(|banned| banned.name == *name) {
            wrong.push(format!("{name} is banned (deny.toml); `cargo tree -i {name}` says who brings it"));
        }
        if !is_allowed(license, &rules.licenses.allow) {
            wrong.push(format!("{name} has a licence that is not allowed: {license:?}"));
        }
    }
    wrong
}

/// Each part that must be kept has an alternative that is allowed. Enough of SPDX for what people write.
fn is_allowed(expression: &str, allowed: &[String]) -> bool {
    let alternatives = |part: &str| {
        let part = part.trim().trim_matches(['(', ')']).replace('/', " OR ");
        part.split(" OR ").any(|license| allowed.iter().any(|allowed| allowed == license.trim()))
    };
    !expression.is_empty() && expression.split(" AND ").all(alternatives)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn licences_are_judged_by_their_parts() {
        let allowed = ["MIT".to_owned(), "Apache-2.0".to_owned()];
        for good in ["MIT", "MIT/GPL-3.0", "GPL-3.0 OR Apache-2.0", "(MIT OR GPL-3.0) AND Apache-2.0"] {
            assert!(is_allowed(good, &allowed), "{good}");
        }
        for bad in ["", "GPL-3.0", "MIT AND GPL-3.0", "(GPL-3.0 OR AGPL-3.0) AND MIT"] {
            assert!(!is_allowed(bad, &allowed), "{bad}");
        }
    }

    #[test]
    fn banned_crates_are_found() {
        let rules: Deny =
            toml::from_str("[bans]\ndeny = [{ crate = \"openssl\" }]\n[licenses]\nallow = [\"MIT\"]\n").expect("rules");
        let tree = |name: &str| BTreeSet::from([(name.to_owned(), "MIT".to_owned())]);
        assert_eq!(judge(&rules, &tree("openssl")).len(), 1);
        assert!(judge(&rules, &tree("ring")).is_empty());
    }
}

//! Gathers what one check looked at and what it found.

use kit::audit::{BREACHES_MAX, Check};

/// A check in the making. Counts every breach, keeps the text of the first ones.
pub struct Finding {
    check: Check,
    /// All breaches, also those whose text is not kept.
    pub count: i64,
}

impl Finding {
    pub fn new(invariant: &str, rule: &str) -> Self {
        let check = Check { invariant: invariant.into(), rule: rule.into(), looked_at: 0, breaches: Vec::new() };
        Self { check, count: 0 }
    }

    pub fn looked_at(&mut self, count: usize) {
        self.check.looked_at += i64::try_from(count).unwrap_or(i64::MAX);
    }

    pub fn breach(&mut self, text: impl Into<String>) {
        self.count += 1;
        if self.check.breaches.len() < BREACHES_MAX {
            self.check.breaches.push(text.into());
        }
    }

    /// A breach unless `holds`.
    pub fn must(&mut self, holds: bool, text: impl FnOnce() -> String) {
        self.looked_at(1);
        if !holds {
            self.breach(text());
        }
    }

    /// Says so when more was found than is shown.
    pub fn done(mut self) -> Check {
        let hidden = self.count - self.check.breaches.len() as i64;
        if hidden > 0 {
            self.check.breaches.push(format!("and {hidden} more"));
        }
        self.check
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_breaches_are_shown_and_all_are_counted() {
        let mut finding = Finding::new("I1", "rule");
        finding.must(true, || unreachable!("it holds"));
        (0..BREACHES_MAX + 5).for_each(|n| finding.must(false, || format!("breach {n}")));
        assert_eq!(finding.count, BREACHES_MAX as i64 + 5);
        let check = finding.done();
        assert_eq!(check.looked_at, BREACHES_MAX as i64 + 6);
        assert_eq!(check.breaches.last().map(String::as_str), Some("and 5 more"));
    }
}

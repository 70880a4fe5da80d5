//! What an import did, and which rows it refused.

use std::fmt;

use super::plan::Place;

/// Refused rows that are listed; more are only counted.
const REFUSED_MAX: usize = 1_000;

/// How many of one thing were made, and how many were there before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    pub made: u64,
    pub there: u64,
}

/// A row that did not make it into the market.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// `items.csv:12`.
    pub at: String,
    pub reason: String,
}

#[derive(Clone, Debug, Default)]
pub struct Report {
    pub sellers: Count,
    pub stores: Count,
    pub categories: Count,
    pub items: Count,
    pub options: Count,
    pub stock_changes: Count,
    /// The first 1,000.
    pub refused: Vec<Refusal>,
    pub refused_total: u64,
    /// What else is worth knowing.
    pub notes: Vec<String>,
}

impl Report {
    /// Whether every row was taken.
    pub fn is_clean(&self) -> bool {
        self.refused_total == 0
    }

    pub(super) fn refuse(&mut self, at: Place, reason: impl Into<String>) {
        self.refused_total += 1;
        if self.refused.len() < REFUSED_MAX {
            self.refused.push(Refusal { at: at.to_string(), reason: reason.into() });
        }
    }

    fn counts(&self) -> [(&'static str, Count); 6] {
        [
            ("sellers", self.sellers),
            ("stores", self.stores),
            ("categories", self.categories),
            ("items", self.items),
            ("options", self.options),
            ("stock changes", self.stock_changes),
        ]
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, Count { made, there }) in self.counts() {
            write!(f, "{name:<14}{made:>9} made")?;
            match there {
                0 => writeln!(f)?,
                _ => writeln!(f, ", {there} were there already")?,
            }
        }
        for note in &self.notes {
            writeln!(f, "note: {note}")?;
        }
        for Refusal { at, reason } in &self.refused {
            writeln!(f, "{at}: {reason}")?;
        }
        match (self.refused_total, self.refused_total.saturating_sub(self.refused.len() as u64)) {
            (0, _) => write!(f, "no row was refused"),
            (total, 0) => write!(f, "{total} rows were refused"),
            (total, unlisted) => write!(f, "{total} rows were refused, {unlisted} of them not listed"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_says_all_and_stays_short() {
        let mut report = Report { items: Count { made: 2, there: 3 }, ..Report::default() };
        assert!(report.is_clean());
        assert!(report.to_string().ends_with("no row was refused"));
        for line in 0..1_002 {
            report.refuse(Place { file: "items.csv", line }, "no name");
        }
        let text = report.to_string();
        assert!(text.contains("items                 2 made, 3 were there already\n"), "{text}");
        assert!(text.contains("\nitems.csv:999: no name\n1002 rows were refused, 2 of them not listed"), "{text}");
        assert!(!report.is_clean());
    }
}

//! Figures: medians with their spread, what they should be, and under what conditions they were found.

use std::collections::BTreeMap;

use serde::Serialize;

/// Which way is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Better {
    Higher,
    Lower,
}

#[derive(Clone, Debug, Serialize)]
pub struct Figure {
    /// The median of the rounds.
    pub value: f64,
    /// What must be reached, and what we would like to reach.
    pub floor: Option<f64>,
    pub goal: Option<f64>,
    /// The lowest and the highest of the rounds.
    pub spread: [f64; 2],
    /// Requests per second: of what is measured, and of what it is compared with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_second: Option<[f64; 2]>,
    /// CPU time of the server for one request in microseconds: of what is measured, and of what it is compared with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_us: Option<[f64; 2]>,
    pub better: Better,
    pub conditions: String,
    /// What it is, in words; for the table.
    #[serde(skip)]
    pub name: String,
    /// Such as `ms`; empty for a ratio.
    #[serde(skip)]
    pub unit: &'static str,
}

/// How far a figure got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grade {
    Goal,
    Floor,
    Below,
    /// Nothing was asked of it.
    Told,
}

impl Figure {
    /// From one value per round; at least one.
    pub fn new(name: &str, values: &[f64], better: Better) -> Self {
        let low = values.iter().copied().fold(f64::INFINITY, f64::min);
        let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        Self {
            value: median(values),
            floor: None,
            goal: None,
            spread: [low, high],
            per_second: None,
            cpu_us: None,
            better,
            conditions: String::new(),
            name: name.into(),
            unit: "",
        }
    }

    #[must_use]
    pub fn within(mut self, floor: f64, goal: f64) -> Self {
        (self.floor, self.goal) = (Some(floor), Some(goal));
        self
    }

    #[must_use]
    pub fn unit(mut self, unit: &'static str) -> Self {
        self.unit = unit;
        self
    }

    #[must_use]
    pub fn conditions(mut self, text: impl Into<String>) -> Self {
        self.conditions = text.into();
        self
    }

    pub fn grade(&self) -> Grade {
        let reached = |bound: f64| match self.better {
            Better::Higher => self.value >= bound,
            Better::Lower => self.value <= bound,
        };
        match (self.floor, self.goal) {
            (_, Some(goal)) if reached(goal) => Grade::Goal,
            (Some(floor), _) if reached(floor) => Grade::Floor,
            (None, None) => Grade::Told,
            (Some(_), _) | (None, Some(_)) => Grade::Below,
        }
    }
}

/// Figures by their key, such as `R2`.
pub type Figures = BTreeMap<String, Figure>;

/// The middle one; of an even number the mean of the two in the middle. Zero of none.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match (sorted.get(middle), sorted.len() % 2) {
        (None, _) => 0.0,
        (Some(value), 1) => *value,
        (Some(value), _) => (sorted[middle - 1] + value) / 2.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_spreads() {
        assert_eq!(median(&[]), 0.0);
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!(Figure::new("x", &[2.0, 1.0, 9.0], Better::Higher).spread, [1.0, 9.0]);
    }

    #[test]
    fn grades_know_which_way_is_better() {
        let cases = [
            (Better::Higher, 0.6, Grade::Goal),
            (Better::Higher, 0.4, Grade::Floor),
            (Better::Higher, 0.3, Grade::Below),
            (Better::Lower, 0.6, Grade::Below),
            (Better::Lower, 0.3, Grade::Goal),
        ];
        for (better, value, grade) in cases {
            let figure = match better {
                Better::Higher => Figure::new("x", &[value], better).within(0.35, 0.55),
                Better::Lower => Figure::new("x", &[value], better).within(0.5, 0.35),
            };
            assert_eq!(figure.grade(), grade, "{better:?} {value}");
        }
        assert_eq!(Figure::new("x", &[1.0], Better::Lower).grade(), Grade::Told);
    }
}

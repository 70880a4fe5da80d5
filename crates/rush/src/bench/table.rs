//! Figures for people: a table in the README between two markers, and a picture.

use std::fmt::Write as _;

use anyhow::{Context as _, Result};

use crate::bench::figure::{Better, Figure, Figures, Grade};
use crate::picture::escape;

pub const BEGIN: &str = "<!-- bench:begin -->";
pub const END: &str = "<!-- bench:end -->";

/// A Markdown table, `machine` above it.
pub fn markdown(figures: &Figures, machine: &str, breaches: usize) -> String {
    let mut text = format!("{machine}.\n\n");
    text += "| | what | measured | spread | floor | goal | requests/s (and of the comparison) | CPU µs per request |\n";
    text += "|---|---|---:|---:|---:|---:|---:|---:|\n";
    for (key, figure) in in_order(figures) {
        let mark = match figure.grade() {
            Grade::Goal => " ✔✔",
            Grade::Floor => " ✔",
            Grade::Below => " ✘",
            Grade::Told => "",
        };
        let bound = |bound: Option<f64>| match (bound, figure.better) {
            (None, _) => String::new(),
            (Some(bound), Better::Higher) => format!("≥ {}", short(bound)),
            (Some(bound), Better::Lower) => format!("≤ {}", short(bound)),
        };
        let pair = |pair: Option<[f64; 2]>, digits: usize| match pair {
            Some([one, other]) => format!("{one:.digits$} ({other:.digits$})"),
            None => String::new(),
        };
        let _ = writeln!(
            text,
            "| {key} | {} | **{}**{mark} | {}–{} | {} | {} | {} | {} |",
            figure.name,
            valued(figure, figure.value),
            short(figure.spread[0]),
            short(figure.spread[1]),
            bound(figure.floor),
            bound(figure.goal),
            pair(figure.per_second, 0),
            pair(figure.cpu_us, 1),
        );
    }
    let audit = match breaches {
        0 => "The audit after each of these runs found no breach of any invariant.".to_owned(),
        many => format!("**The audit after these runs found {many} breaches.**"),
    };
    let _ = write!(text, "\n✔✔ goal reached, ✔ floor reached, ✘ below the floor. {audit}\n\nConditions:\n\n");
    for (conditions, keys) in by_conditions(figures) {
        let _ = writeln!(text, "- {}: {conditions}", keys.join(", "));
    }
    text
}

/// R2 before R11, and what has no number last.
fn in_order(figures: &Figures) -> Vec<(&String, &Figure)> {
    let number = |key: &str| {
        let digits: String =
            key.strip_prefix('R').unwrap_or_default().chars().take_while(char::is_ascii_digit).collect();
        digits.parse().unwrap_or(u32::MAX)
    };
    let mut ordered: Vec<(&String, &Figure)> = figures.iter().collect();
    ordered.sort_by_key(|(key, _)| (number(key), key.len()));
    ordered
}

/// Figures that were found under the same conditions, together.
fn by_conditions(figures: &Figures) -> Vec<(&str, Vec<&str>)> {
    let mut groups: Vec<(&str, Vec<&str>)> = Vec::new();
    for (key, figure) in in_order(figures) {
        match groups.iter_mut().find(|(conditions, _)| *conditions == figure.conditions) {
            Some((_, keys)) => keys.push(key),
            None => groups.push((&figure.conditions, vec![key])),
        }
    }
    groups
}

/// Puts `table` between the markers. Errors: a text without them.
pub fn insert(text: &str, table: &str) -> Result<String> {
    let (before, rest) = text.split_once(BEGIN).with_context(|| format!("{BEGIN} is missing"))?;
    let (_, after) = rest.split_once(END).with_context(|| format!("{END} is missing"))?;
    Ok(format!("{before}{BEGIN}\n{table}{END}{after}"))
}

const WIDTH: f64 = 720.0;
const ROW: f64 = 46.0;
const LABEL: f64 = 16.0;
const STYLE: &str = "
text{font:13px system-ui,sans-serif;fill:#57606a}.name{fill:#24292f}
.rail{fill:#eaeef2}.goal{fill:#1a7f37}.floor{fill:#0969da}.below{fill:#cf222e}.mark{stroke:#24292f;stroke-width:1.5}
@media(prefers-color-scheme:dark){text{fill:#8b949e}.name{fill:#e6edf3}.rail{fill:#21262d}.mark{stroke:#e6edf3}
.goal{fill:#3fb950}.floor{fill:#58a6ff}.below{fill:#f85149}}
";

/// One bar for each figure that has a goal: how far towards it, with a mark at the floor.
pub fn svg(figures: &Figures) -> String {
    let shown: Vec<_> = in_order(figures).into_iter().filter(|(_, figure)| figure.goal.is_some()).collect();
    let height = shown.len() as f64 * ROW + 12.0;
    let mut svg = format!(
        r#"<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="Measured figures beside their goals" xmlns="http://www.w3.org/2000/svg"><style>{STYLE}</style>"#
    );
    for (row, (key, figure)) in shown.into_iter().enumerate() {
        let y = row as f64 * ROW + LABEL;
        let class = match figure.grade() {
            Grade::Goal => "goal",
            Grade::Floor | Grade::Told => "floor",
            Grade::Below => "below",
        };
        let width = share(figure, figure.value) * WIDTH;
        let floor = figure.floor.map_or(0.0, |floor| share(figure, floor) * WIDTH);
        let goal = figure.goal.unwrap_or_default();
        let _ = write!(
            svg,
            r#"<text class="name" x="0" y="{y}">{} {}</text><text x="{WIDTH}" y="{y}" text-anchor="end">{} (goal {})</text><rect class="rail" x="0" y="{top}" width="{WIDTH}" height="12"/><rect class="{class}" x="0" y="{top}" width="{width:.1}" height="12"/><path class="mark" d="M{floor:.1} {top}v12"/>"#,
            escape(key),
            escape(&figure.name),
            escape(&valued(figure, figure.value)),
            escape(&valued(figure, goal)),
            top = y + 6.0,
        );
    }
    svg + "</svg>\n"
}

/// How much of the way to the goal: all of it when reached.
fn share(figure: &Figure, value: f64) -> f64 {
    let goal = figure.goal.unwrap_or(value);
    let share = match figure.better {
        Better::Higher => value / goal,
        Better::Lower => goal / value,
    };
    share.clamp(0.0, 1.0)
}

fn valued(figure: &Figure, value: f64) -> String {
    match figure.unit {
        "" => short(value),
        unit => format!("{} {unit}", short(value)),
    }
}

/// Three digits that count.
fn short(value: f64) -> String {
    match value.abs() {
        v if v >= 100.0 => format!("{value:.0}"),
        v if v >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures() -> Figures {
        let ratio = Figure::new("accepted ÷ no-op", &[0.40, 0.42, 0.41], Better::Higher).within(0.35, 0.55);
        let time = Figure::new("to ready", &[0.7], Better::Lower).within(10.0, 0.5).unit("s").conditions("a lot");
        Figures::from([("R2".to_owned(), ratio), ("R12".to_owned(), time)])
    }

    #[test]
    fn the_table_goes_between_the_markers_again_and_again() {
        let table = markdown(&figures(), "A machine", 0);
        assert!(table.contains("| R2 | accepted ÷ no-op | **0.41** ✔ | 0.40–0.42 | ≥ 0.35 | ≥ 0.55 |"), "{table}");
        assert!(table.contains("≤ 0.50") && table.contains("- R12: a lot"), "{table}");
        let readme = format!("before\n{BEGIN}\nold\n{END}\nafter\n");
        let once = insert(&readme, &table).expect("markers");
        assert!(once.starts_with("before\n") && once.ends_with("\nafter\n") && !once.contains("old"));
        assert_eq!(insert(&once, &table).expect("markers"), once);
        assert!(insert("no markers", &table).is_err());
    }

    #[test]
    fn figures_are_in_order_and_conditions_are_said_once() {
        let figure = || Figure::new("x", &[1.0], Better::Higher).conditions("same");
        let keys = ["start", "R11", "R2", "R1_over_limit", "R1"];
        let figures: Figures = keys.iter().map(|key| ((*key).to_owned(), figure())).collect();
        assert_eq!(by_conditions(&figures), [("same", vec!["R1", "R1_over_limit", "R2", "R11", "start"])]);
    }

    #[test]
    fn bars_end_at_the_goal() {
        let figures = figures();
        assert!((share(&figures["R2"], 0.275) - 0.5).abs() < 1e-9);
        assert_eq!(share(&figures["R2"], 2.0), 1.0);
        assert_eq!(share(&figures["R12"], 1.0), 0.5);
        assert!(svg(&figures).matches("<rect").count() == 4);
    }
}

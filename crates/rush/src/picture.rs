//! Pictures as SVG text: a frame with two axes, and lines or bars in it. No script, no outside fonts or files.
//!
//! Colours are the page's own CSS variables, so that a picture follows its light and dark theme.

use std::fmt::Write as _;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 300.0;
const LEFT: f64 = 66.0;
const RIGHT: f64 = 26.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 50.0;

/// One axis: values from `from` to `to`, labels at some of them.
pub struct Axis {
    pub name: String,
    pub from: f64,
    pub to: f64,
    pub ticks: Vec<(f64, String)>,
}

impl Axis {
    /// From zero to a round number not below `max`.
    pub fn linear(name: &str, max: f64) -> Self {
        let step = round_step(max.max(f64::MIN_POSITIVE) / 5.0);
        let count = (max / step).ceil().max(1.0) as u32;
        let ticks = (0..=count).map(|n| f64::from(n) * step).map(|value| (value, number(value))).collect();
        Self { name: name.into(), from: 0.0, to: f64::from(count) * step, ticks }
    }

    /// Decimal logarithms, whole decades around `min` and `max` (both above zero).
    pub fn decades(name: &str, min: f64, max: f64) -> Self {
        let from = min.log10().floor() as i32;
        let to = (max.log10().ceil() as i32).max(from + 1);
        let ticks = (from..=to).map(|decade| (f64::from(decade), number(10_f64.powi(decade)))).collect();
        Self { name: name.into(), from: f64::from(from), to: f64::from(to), ticks }
    }

    fn share(&self, value: f64) -> f64 {
        ((value - self.from) / (self.to - self.from)).clamp(0.0, 1.0)
    }
}

/// 1, 2 or 5 times a power of ten, not below `value`.
fn round_step(value: f64) -> f64 {
    let power = 10_f64.powf(value.log10().floor());
    [1.0, 2.0, 5.0].into_iter().map(|factor| factor * power).find(|step| *step >= value).unwrap_or(10.0 * power)
}

/// A number as an axis shows it: 0.1, 25, 5k, 2M.
fn number(value: f64) -> String {
    let (scaled, unit) = match value {
        v if v >= 1e6 => (v / 1e6, "M"),
        v if v >= 1e4 => (v / 1e3, "k"),
        v => (v, ""),
    };
    let text = format!("{scaled:.3}");
    format!("{}{unit}", text.trim_end_matches('0').trim_end_matches('.'))
}

/// A picture in the making.
pub struct Picture {
    x: Axis,
    y: Axis,
    marks: String,
    /// Class and name of what is drawn.
    legend: Vec<(&'static str, String)>,
}

impl Picture {
    pub fn new(x: Axis, y: Axis) -> Self {
        Self { x, y, marks: String::new(), legend: Vec::new() }
    }

    fn at(&self, x: f64, y: f64) -> (f64, f64) {
        let width = WIDTH - LEFT - RIGHT;
        let height = HEIGHT - TOP - BOTTOM;
        (LEFT + self.x.share(x) * width, TOP + (1.0 - self.y.share(y)) * height)
    }

    /// `class` is one of the page's colours: `one`, `two`, `three`.
    #[must_use]
    pub fn line(mut self, class: &'static str, name: &str, points: impl IntoIterator<Item = (f64, f64)>) -> Self {
        let mut path = String::new();
        for (x, y) in points {
            let (px, py) = self.at(x, y);
            let _ = write!(path, "{}{px:.1} {py:.1}", if path.is_empty() { "M" } else { "L" });
        }
        let _ = write!(self.marks, r#"<path class="line {class}" d="{path}"/>"#);
        self.legend.push((class, name.into()));
        self
    }

    /// Bars from `(x_from, x_to, y_from, y_to)`.
    #[must_use]
    pub fn bars(
        mut self,
        class: &'static str,
        name: &str,
        bars: impl IntoIterator<Item = (f64, f64, f64, f64)>,
    ) -> Self {
        for (x_from, x_to, y_from, y_to) in bars.into_iter().filter(|(_, _, from, to)| to > from) {
            let ((left, bottom), (right, top)) = (self.at(x_from, y_from), self.at(x_to, y_to));
            let (width, height) = ((right - left - 0.5).max(0.5), bottom - top);
            let _ = write!(
                self.marks,
                r#"<rect class="bar {class}" x="{left:.1}" y="{top:.1}" width="{width:.1}" height="{height:.1}"/>"#
            );
        }
        self.legend.push((class, name.into()));
        self
    }

    /// The picture; `label` is read to those who cannot see it.
    pub fn svg(self, label: &str) -> String {
        let mut svg = format!(
            r#"<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{}" xmlns="http://www.w3.org/2000/svg">"#,
            escape(label)
        );
        let floor = HEIGHT - BOTTOM;
        for (value, text) in &self.y.ticks {
            let (_, y) = self.at(self.x.from, *value);
            let _ = write!(
                svg,
                r#"<path class="grid" d="M{LEFT} {y:.1}H{}"/><text x="{}" y="{:.1}" text-anchor="end">{}</text>"#,
                WIDTH - RIGHT,
                LEFT - 6.0,
                y + 4.0,
                escape(text)
            );
        }
        for (value, text) in &self.x.ticks {
            let (x, _) = self.at(*value, self.y.from);
            let _ = write!(
                svg,
                r#"<path class="grid" d="M{x:.1} {TOP}V{floor}"/><text x="{x:.1}" y="{}" text-anchor="middle">{}</text>"#,
                floor + 18.0,
                escape(text)
            );
        }
        let _ = write!(
            svg,
            r#"{}<text x="{}" y="{}" text-anchor="end">{}</text><text x="{}" y="{}">{}</text></svg>"#,
            self.marks,
            WIDTH - RIGHT,
            HEIGHT - 8.0,
            escape(&self.x.name),
            LEFT + 6.0,
            TOP + 12.0,
            escape(&self.y.name)
        );
        let keys = self
            .legend
            .iter()
            .map(|(class, name)| format!(r#"<span><i class="key {class}"></i>{}</span>"#, escape(name)));
        format!(r#"{svg}<p class="legend">{}</p>"#, keys.collect::<String>())
    }
}

/// Text for HTML and SVG.
pub fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            other => safe.push(other),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_end_at_round_numbers() {
        for (max, to, ticks) in [(9_700.0, 10_000.0, 6), (0.0, 1.0, 2), (1.0, 1.0, 6), (42.0, 50.0, 6), (61.0, 80.0, 5)]
        {
            let axis = Axis::linear("n", max);
            if max > 0.0 {
                assert!((axis.to - to).abs() < 1e-9, "{max}: {}", axis.to);
                assert_eq!(axis.ticks.len(), ticks, "{max}");
            }
        }
        let axis = Axis::decades("ms", 0.2, 340.0);
        assert_eq!((axis.from, axis.to), (-1.0, 3.0));
        assert_eq!(
            axis.ticks.iter().map(|(_, text)| text.as_str()).collect::<Vec<_>>(),
            ["0.1", "1", "10", "100", "1000"]
        );
        assert_eq!(number(25_000.0), "25k");
    }

    #[test]
    fn points_land_inside_the_frame_and_text_is_escaped() {
        let picture = Picture::new(Axis::linear("<x>", 10.0), Axis::linear("y", 10.0));
        assert_eq!(picture.at(0.0, 0.0), (LEFT, HEIGHT - BOTTOM));
        assert_eq!(picture.at(10.0, 99.0), (WIDTH - RIGHT, TOP));
        let svg = picture.line("one", "a & b", [(0.0, 0.0), (10.0, 10.0)]).svg("\"label\"");
        assert!(svg.contains("&lt;x&gt;") && svg.contains("a &amp; b") && svg.contains("&quot;label&quot;"));
    }
}

//! Progress for people: a bar while it runs, a line when it is done. Without a terminal only the lines.

use indicatif::{HumanDuration, ProgressBar, ProgressStyle};

const STYLE: &str = "{msg:<24} {wide_bar} {pos}/{len} {elapsed}";

/// A bar of `length` steps.
pub fn bar(name: &str, length: u64) -> ProgressBar {
    let bar = ProgressBar::new(length).with_message(name.to_owned());
    match ProgressStyle::with_template(STYLE) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// Replaces the bar by a line that says what was done.
pub fn done(bar: &ProgressBar, text: String) {
    let elapsed = bar.elapsed();
    bar.finish_and_clear();
    match elapsed.as_secs() {
        0 => eprintln!("{text} ({} ms)", elapsed.as_millis()),
        _ => eprintln!("{text} ({})", HumanDuration(elapsed)),
    }
}

use indicatif::{ProgressBar, ProgressStyle};

/// A bar with the time that is left, on stderr; silent when stderr is not a terminal.
pub(crate) fn bar(total: u64, unit: &str) -> ProgressBar {
    let template = format!("{{bar:30}} {{pos}}/{{len}} {unit}  {{elapsed}} elapsed, {{eta}} left  {{msg}}");
    let style = ProgressStyle::with_template(&template).expect("the template is constant");
    ProgressBar::new(total).with_style(style)
}

/// A bar of bytes with their rate and the time that is left, on stderr; silent when stderr is not a terminal.
pub(crate) fn byte_bar() -> ProgressBar {
    let template = "{bar:30} {bytes}/{total_bytes}  {bytes_per_sec}, {eta} left";
    let style = ProgressStyle::with_template(template).expect("the template is constant");
    ProgressBar::new(0).with_style(style)
}

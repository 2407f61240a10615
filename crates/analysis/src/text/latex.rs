//! Tables for LaTeX, by its package booktabs.

use crate::text::escape::line;

/// A table. Its parts are LaTeX already, except the title.
pub(crate) struct LatexTable<'a> {
    /// Begins the caption and names the table for `\ref`.
    pub(crate) title: &'a str,
    /// The rest of the caption.
    pub(crate) caption: String,
    /// Columns of text; all others are numbers.
    pub(crate) text_columns: usize,
    pub(crate) heads: Vec<String>,
    /// Rows under a heading of their own; an empty heading is not shown.
    pub(crate) groups: Vec<(String, Vec<Vec<String>>)>,
}

impl LatexTable<'_> {
    /// A `table` with one `tabular`, and before it what it needs.
    pub(crate) fn write(&self) -> String {
        let columns = self.heads.len();
        let line = |cells: &[String]| format!("    {} \\\\", cells.join(" & "));
        let mut lines = vec![
            "% Needs \\usepackage{booktabs}.".to_string(),
            "\\begin{table}".into(),
            "  \\centering".into(),
            format!("  \\caption{{{}. {}}}", escaped(self.title), self.caption),
            format!("  \\label{{tab:{}}}", label(self.title)),
            format!(
                "  \\begin{{tabular}}{{{}{}}}",
                "l".repeat(self.text_columns),
                "r".repeat(columns - self.text_columns)
            ),
            "    \\toprule".into(),
            line(&self.heads),
        ];
        for (heading, rows) in &self.groups {
            lines.push("    \\midrule".into());
            if !heading.is_empty() {
                lines.push(format!("    \\multicolumn{{{columns}}}{{l}}{{{heading}}} \\\\"));
            }
            lines.extend(rows.iter().map(|row| line(row)));
        }
        lines.extend(["    \\bottomrule", "  \\end{tabular}", "\\end{table}"].map(String::from));
        lines.join("\n") + "\n"
    }
}

/// Text for LaTeX: its special characters escaped, hidden ones shown as `?`, Markdown's marks of code left out.
pub(crate) fn escaped(text: &str) -> String {
    let mut out = String::new();
    for character in line(text).replace(" %", "\u{a0}%").chars() {
        match character {
            '#' | '$' | '%' | '&' | '_' | '{' | '}' => out.extend(['\\', character]),
            '\\' => out.push_str("\\textbackslash{}"),
            '~' => out.push_str("\\textasciitilde{}"),
            '^' => out.push_str("\\textasciicircum{}"),
            '±' => out.push_str("$\\pm$"),
            '·' => out.push_str("$\\cdot$"),
            '–' => out.push_str("--"),
            '\u{a0}' => out.push_str("\\,"),
            '`' => {}
            '\u{fffd}' => out.push('?'),
            other => out.push(other),
        }
    }
    out
}

/// Numbers for LaTeX's mathematics: `1.0e-3 ± 2.0e-4`, `1e-6`, `0.00 ± 0.01`; anything else as text.
pub(crate) fn number(text: &str) -> String {
    let power = |text: &str| match text.split_once('e') {
        Some(("1", exponent)) => Some(format!("10^{{{exponent}}}")),
        Some((factor, exponent)) => Some(format!("{factor} \\times 10^{{{exponent}}}")),
        None => text.parse::<f64>().is_ok().then(|| text.to_string()),
    };
    let numbers: Option<Vec<String>> = text.split(" ± ").map(power).collect();
    numbers.map_or_else(|| escaped(text), |numbers| format!("${}$", numbers.join(" \\pm ")))
}

/// A name for `\ref`: letters and digits of a title, in lower case, with hyphens between.
fn label(title: &str) -> String {
    let words = title.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.map(str::to_ascii_lowercase).collect::<Vec<_>>().join("-")
}

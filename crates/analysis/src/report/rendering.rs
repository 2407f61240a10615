//! Markdown to HTML, as far as a report's sections go: paragraphs, lists, emphasis, code, links and tables.
//!
//! Sections hold names from files of others: titles, labels, where weights came from. So markup in Markdown comes out as
//! the text it is, a link leads only to a file of the report, and an image is its description.

use std::collections::BTreeSet;

use pulldown_cmark::{Alignment, Event, Options, Parser, Tag, TagEnd};

use crate::text::escape::escape;

/// A table with more columns is printed across the page.
const MOST_UPRIGHT_COLUMNS: usize = 9;

/// HTML of a section so far, and the names of its tables.
pub(crate) struct Rendering<'a> {
    /// Files that links may lead to.
    files: &'a [&'a str],
    /// Heading of the section; tables are named after it and the line above them.
    heading: String,
    /// Names of the page's scrolling regions, each given once.
    names: BTreeSet<String>,
    html: String,
    wide: bool,
}

/// The table that is being rendered.
struct Columns {
    alignments: Vec<Alignment>,
    column: usize,
    in_head: bool,
}

impl<'a> Rendering<'a> {
    pub(crate) fn new(files: &'a [&'a str]) -> Self {
        Self { files, heading: String::new(), names: BTreeSet::new(), html: String::new(), wide: false }
    }

    /// Begins a section; returns the one before it, and whether it has to be printed across the page.
    pub(crate) fn begin(&mut self, heading: &str) -> (String, bool) {
        self.heading = heading.into();
        (std::mem::take(&mut self.html), std::mem::take(&mut self.wide))
    }

    /// Adds HTML as it is.
    pub(crate) fn raw(&mut self, html: &str) {
        self.html.push_str(html);
    }

    /// A name for a scrolling region, which no other one has.
    fn name(&mut self, wanted: &str) -> String {
        let numbered = (2..).map(|number| format!("{wanted} ({number})"));
        let name = std::iter::once(wanted.to_string())
            .chain(numbered)
            .find(|name| !self.names.contains(name))
            .expect("numbers do not end");
        self.names.insert(name.clone());
        name
    }

    /// Opens a box that scrolls sideways where its content is wider than the page.
    pub(crate) fn open_scroll(&mut self, class: &str, name: &str) {
        let name = escape(&self.name(name));
        self.html.push_str(&format!(
            "<div class=\"scroll {class}\" role=\"region\" tabindex=\"0\" aria-label=\"{name}\">"
        ));
    }

    /// A table of plain text: columns with whether they hold numbers, and rows.
    pub(crate) fn table(&mut self, name: &str, columns: &[(&str, bool)], rows: &[Vec<String>]) {
        let mut table = Columns {
            alignments: columns
                .iter()
                .map(|(_, number)| if *number { Alignment::Right } else { Alignment::Left })
                .collect(),
            column: 0,
            in_head: true,
        };
        self.open_table(name, columns.len());
        for (heading, _) in columns {
            self.html.push_str(&table.open());
            self.html.push_str(&escape(heading));
            self.html.push_str(table.close());
        }
        self.html.push_str("</tr></thead>\n<tbody>\n");
        table.in_head = false;
        for row in rows {
            table.column = 0;
            self.html.push_str("<tr>");
            for cell in row {
                self.html.push_str(&table.open());
                self.html.push_str(&escape(cell));
                self.html.push_str(table.close());
            }
            self.html.push_str("</tr>\n");
        }
        self.html.push_str("</tbody></table></div>\n");
    }

    fn open_table(&mut self, name: &str, columns: usize) {
        self.wide |= columns > MOST_UPRIGHT_COLUMNS;
        self.open_scroll("table", name);
        self.html.push_str("<table>\n<thead><tr>");
    }

    /// Adds Markdown.
    pub(crate) fn markdown(&mut self, markdown: &str) {
        let mut table: Option<Columns> = None;
        // What ends each link that is open.
        let mut links: Vec<&str> = Vec::new();
        // Of the paragraph that is being rendered, or of the last one.
        let mut said = String::new();
        for event in Parser::new_ext(markdown, Options::ENABLE_TABLES) {
            match event {
                Event::Start(Tag::Paragraph) => {
                    said.clear();
                    self.raw("<p>");
                }
                Event::End(TagEnd::Paragraph) => self.raw("</p>\n"),
                Event::Start(Tag::Table(alignments)) => {
                    let about = said.trim().strip_suffix(':');
                    let name =
                        about.map_or(self.heading.clone(), |about| format!("{}: {about}", self.heading));
                    self.open_table(&name, alignments.len());
                    table = Some(Columns { alignments, column: 0, in_head: true });
                }
                Event::End(TagEnd::Table) => {
                    table = None;
                    said.clear();
                    self.raw("</tbody></table></div>\n");
                }
                Event::End(TagEnd::TableHead) => {
                    self.raw("</tr></thead>\n<tbody>\n");
                    table.as_mut().expect("in a table").in_head = false;
                }
                Event::Start(Tag::TableRow) => {
                    table.as_mut().expect("in a table").column = 0;
                    self.raw("<tr>");
                }
                Event::End(TagEnd::TableRow) => self.raw("</tr>\n"),
                Event::Start(Tag::TableCell) => {
                    let tag = table.as_ref().expect("in a table").open();
                    self.raw(&tag);
                }
                Event::End(TagEnd::TableCell) => {
                    let tag = table.as_mut().expect("in a table").close();
                    self.raw(tag);
                }
                Event::Start(Tag::Link { dest_url, .. }) => {
                    let ours = self.files.contains(&&*dest_url);
                    links.push(if ours { "</a>" } else { "" });
                    if ours {
                        self.raw(&format!("<a href=\"{}\">", escape(&dest_url)));
                    }
                }
                Event::End(TagEnd::Link) => {
                    let end = links.pop().expect("in a link");
                    self.raw(end);
                }
                Event::Start(Tag::List(first)) => self.raw(if first.is_some() { "<ol>\n" } else { "<ul>\n" }),
                Event::End(TagEnd::List(ordered)) => self.raw(if ordered { "</ol>\n" } else { "</ul>\n" }),
                Event::Start(Tag::Item) => self.raw("<li>"),
                Event::End(TagEnd::Item) => self.raw("</li>\n"),
                Event::Start(Tag::Strong) => self.raw("<strong>"),
                Event::End(TagEnd::Strong) => self.raw("</strong>"),
                Event::Start(Tag::Emphasis) => self.raw("<em>"),
                Event::End(TagEnd::Emphasis) => self.raw("</em>"),
                Event::Start(Tag::CodeBlock(_)) => self.raw("<pre>"),
                Event::End(TagEnd::CodeBlock) => self.raw("</pre>\n"),
                Event::Code(text) => {
                    said.push_str(&text);
                    self.raw(&format!("<code>{}</code>", escape(&text)));
                }
                Event::Text(text) | Event::Html(text) | Event::InlineHtml(text) => {
                    said.push_str(&text);
                    self.raw(&escape(&text));
                }
                Event::SoftBreak => {
                    said.push(' ');
                    self.raw("\n");
                }
                Event::HardBreak => self.raw("<br>\n"),
                // Headings, quotations and rules in somebody's name: their text is enough.
                _ => {}
            }
        }
    }
}

impl Columns {
    /// The tag of a cell: the first of a row names it, unless it is a number.
    fn open(&self) -> String {
        let number = self.alignments.get(self.column) == Some(&Alignment::Right);
        let class = if number { " class=\"number\"" } else { "" };
        match self.tag(number) {
            ("th", scope) => format!("<th scope=\"{scope}\"{class}>"),
            _ => format!("<td{class}>"),
        }
    }

    /// The end of that cell; the next one follows.
    fn close(&mut self) -> &'static str {
        let number = self.alignments.get(self.column) == Some(&Alignment::Right);
        let (tag, _) = self.tag(number);
        self.column += 1;
        if tag == "th" { "</th>" } else { "</td>" }
    }

    fn tag(&self, number: bool) -> (&'static str, &'static str) {
        match self {
            Self { in_head: true, .. } => ("th", "col"),
            Self { column: 0, .. } if !number => ("th", "row"),
            _ => ("td", ""),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Rendering;

    fn rendered(markdown: &str) -> String {
        let mut rendering = Rendering::new(&["figure.svg"]);
        rendering.begin("Drops");
        rendering.markdown(markdown);
        rendering.begin("").0
    }

    #[test]
    fn a_table_scrolls_and_its_cells_have_headers() {
        let html = rendered("**net**, `faulty`:\n\n| a | n |\n| --- | ---: |\n| x\\|y | 1 |\n| z | 2 |\n");
        assert_eq!(
            html,
            "<p><strong>net</strong>, <code>faulty</code>:</p>\n\
             <div class=\"scroll table\" role=\"region\" tabindex=\"0\" aria-label=\"Drops: net, faulty\"><table>\n\
             <thead><tr><th scope=\"col\">a</th><th scope=\"col\" class=\"number\">n</th></tr></thead>\n\
             <tbody>\n\
             <tr><th scope=\"row\">x|y</th><td class=\"number\">1</td></tr>\n\
             <tr><th scope=\"row\">z</th><td class=\"number\">2</td></tr>\n\
             </tbody></table></div>\n"
        );
    }

    #[test]
    fn no_two_regions_share_a_name() {
        let table = "| n |\n| ---: |\n| 1 |\n";
        let html = rendered(&format!("{table}\n{table}\n{table}"));
        for name in ["\"Drops\"", "\"Drops (2)\"", "\"Drops (3)\""] {
            assert_eq!(html.matches(name).count(), 1, "{html}");
        }
        assert!(
            html.contains("<tbody>\n<tr><td class=\"number\">1</td></tr>"),
            "a number names no row: {html}"
        );
    }

    #[test]
    fn markup_of_others_is_text_and_links_lead_to_our_files_only() {
        assert_eq!(rendered("a <script>b</script> & c"), "<p>a &lt;script&gt;b&lt;/script&gt; &amp; c</p>\n");
        assert_eq!(rendered("<script>b\n</script>\n"), "&lt;script&gt;b\n&lt;/script&gt;\n");
        assert_eq!(
            rendered("[in](figure.svg) [out](https://example.org) [run](javascript:alert(1)) ![i](x.png)"),
            "<p><a href=\"figure.svg\">in</a> out run i</p>\n"
        );
    }
}

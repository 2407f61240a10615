//! `report.html`: the whole report as one file, which needs no other, no network and no script.
//!
//! A browser with scripts also shows a section in which a reader chooses cells ([`explore`]). It is hidden otherwise.
//!
//! It renders the sections of `report.md`, with the figures inside, and adds the plan word for word, the machine, commands
//! that compute it again, a citation and the list of files beside it, for a reader who has only this file. A policy in its
//! head forbids it to load anything, and to run anything except that one script, whatever the names in it contain.

use design::{CellSpec, FailureRule, StopRule};
use records::{Environment, FaultManifest, Manifest};

use crate::estimate::cell::{ascending, first_appearances, rate_label};
use crate::estimate::estimates::Estimates;
use crate::report::context::{Context, FaultCommands, Run};
use crate::report::explore;
use crate::report::file::ReportFile;
use crate::report::rendering::Rendering;
use crate::report::sections::Section;
use crate::text::conditions::conditions;
use crate::text::escape::escape;
use crate::text::rate::{common_name, rate_name};
use crate::text::terms::Terms;

const STYLE: &str = include_str!("page.css");

/// The paper that the experiments start from: <https://arxiv.org/abs/1910.14479>.
const PAPER: &str = "\
@inproceedings{guan2019inplace,
  author    = {Guan, Hui and Ning, Lin and Lin, Zhen and Shen, Xipeng and Zhou, Huiyang and Lim, Seung-Hwan},
  title     = {In-Place Zero-Space Memory Protection for {CNN}},
  booktitle = {Advances in Neural Information Processing Systems},
  volume    = {32},
  year      = {2019},
  eprint    = {1910.14479}
}";

/// The page. `files` and `markdown` will lie beside it; the SVGs of the sections' figures are among them.
pub(crate) fn page(
    estimates: &Estimates,
    context: &Context,
    sections: &[Section],
    files: &[ReportFile],
    markdown: &ReportFile,
) -> String {
    let beside: Vec<&ReportFile> = std::iter::once(markdown).chain(files).collect();
    let names: Vec<&str> = beside.iter().map(|file| file.name.as_str()).collect();
    let data = explore::data(estimates, context);
    let mut page = Page::new(&names, sections, files, data.as_deref());
    if !context.notes.trim().is_empty() {
        page.heading(match estimates.measure.metric() {
            None => "Networks and images",
            Some(_) => "Networks and evaluation",
        });
        page.rendering.markdown(context.notes);
    }
    if let Some(run) = context.run {
        page.plan(estimates, run.manifest);
        page.environment(&run.manifest.environment);
        page.reproduction(estimates, &run);
    }
    let records = context.run.map(|run| (&run.manifest.environment, run.trials_sha256));
    page.citation(records);
    page.files(&beside, context.run.is_some());
    page.closed(context.title, &conditions(estimates))
}

/// The page of a campaign of single faults, with its plan and the commands that compute it again.
pub(crate) fn fault_page(
    (manifest, conditions): (&FaultManifest, &str),
    commands: &FaultCommands,
    sections: &[Section],
    files: &[ReportFile],
    markdown: &ReportFile,
) -> String {
    let beside: Vec<&ReportFile> = std::iter::once(markdown).chain(files).collect();
    let names: Vec<&str> = beside.iter().map(|file| file.name.as_str()).collect();
    let mut page = Page::new(&names, sections, files, None);
    page.heading("Plan");
    let sample = &manifest.spec.sample;
    let drawn = match sample.exhaustive {
        true => "all faults".to_string(),
        false => format!("margin {}, expected rate {}", sample.margin, sample.expected_rate),
    };
    page.facts(
        "plan",
        &[
            ("network", format!("{}, {}", manifest.network.label, manifest.network.architecture)),
            ("content hash", manifest.spec.network.clone()),
            ("faults", manifest.spec.faults().to_string()),
            ("drawn", format!("{}, {drawn}", manifest.faults)),
            ("confidence", sample.confidence.to_string()),
            ("seed", manifest.spec.seed.to_string()),
            ("images correct without faults", manifest.network.clean_correct.to_string()),
            ("campaign", manifest.id.clone()),
        ],
    );
    page.rendering.raw("<details>\n<summary>The experiment file, word for word</summary>\n");
    page.preformatted(&manifest.source);
    page.rendering.raw("</details>\n");
    page.environment(&manifest.environment);
    page.heading("Reproduce");
    page.rendering.markdown("All of it, on any machine:");
    page.preformatted(commands.repeat);
    page.rendering.markdown("The records, `faults.parquet`, then have the SHA-256");
    page.preformatted(commands.faults_sha256);
    page.rendering.markdown(
        "The following command computes a sample of the faults again by full passes and compares it:",
    );
    page.preformatted(commands.verify);
    page.citation(Some((&manifest.environment, commands.faults_sha256)));
    page.files(&beside, false);
    page.closed(&manifest.experiment, conditions)
}

/// The page of a large run.
pub(crate) fn large_page(
    context: &Context,
    conditions: &str,
    sections: &[Section],
    files: &[ReportFile],
    markdown: &ReportFile,
) -> String {
    let cells =
        ReportFile::text("cells.csv", "the estimates of every cell, in full precision", String::new());
    let beside: Vec<&ReportFile> = [markdown, &cells].into_iter().chain(files).collect();
    let names: Vec<&str> = beside.iter().map(|file| file.name.as_str()).collect();
    let mut page = Page::new(&names, sections, files, None);
    if !context.notes.trim().is_empty() {
        page.heading("Networks and evaluation");
        page.rendering.markdown(context.notes);
    }
    if let Some(run) = context.run {
        page.heading("Plan");
        page.facts(
            "plan",
            &[
                ("cells", run.manifest.cells.len().to_string()),
                ("planned trials a cell", run.manifest.trials.to_string()),
                ("networks", run.manifest.networks.len().to_string()),
            ],
        );
        page.rendering.raw("<details>\n<summary>The experiment file, word for word</summary>\n");
        page.preformatted(&run.manifest.source);
        page.rendering.raw("</details>\n");
        page.environment(&run.manifest.environment);
        page.commands(&run);
    }
    let records = context.run.map(|run| (&run.manifest.environment, run.trials_sha256));
    page.citation(records);
    page.files(&beside, context.run.is_some());
    page.closed(context.title, conditions)
}

struct Page<'a> {
    rendering: Rendering<'a>,
    /// Headings of the sections so far, with their ids.
    contents: Vec<(String, String)>,
    /// Data of a section for browsers with scripts.
    explored: Option<&'a str>,
    /// The sections before the one that is being rendered.
    body: String,
}

impl<'a> Page<'a> {
    /// Begins a page with its sections. Files of these `names` will lie beside it. A section that shows the data
    /// `explored` follows those without a heading.
    fn new(
        names: &'a [&'a str],
        sections: &[Section],
        files: &[ReportFile],
        explored: Option<&'a str>,
    ) -> Self {
        let rendering = Rendering::new(names);
        let mut page = Self { rendering, contents: Vec::new(), explored, body: String::new() };
        page.sections(sections, files);
        page
    }

    fn sections(&mut self, sections: &[Section], files: &[ReportFile]) {
        let mut data = self.explored;
        for section in sections {
            match section {
                Section::Heading(heading) => {
                    if let Some(data) = data.take() {
                        self.explore(data);
                    }
                    self.heading(heading);
                }
                Section::Text(text) => self.rendering.markdown(text),
                Section::Figure { file, shows, caption } => {
                    let bytes = &files.iter().find(|f| f.name == *file).expect("the figure is written").bytes;
                    let svg = std::str::from_utf8(bytes).expect("an SVG is text");
                    self.figure(svg, shows, caption);
                }
            }
        }
    }

    /// Begins a section.
    fn heading(&mut self, heading: &str) {
        self.end_section(heading);
        let id = anchor(heading, &self.contents);
        self.contents.push((heading.into(), id.clone()));
        self.rendering.raw(&format!("<h2 id=\"{id}\">{}</h2>\n", escape(heading)));
    }

    /// Adds the section that a script fills and shows.
    fn explore(&mut self, data: &str) {
        self.end_section(explore::HEADING);
        let id = anchor(explore::HEADING, &self.contents);
        self.body.push_str(&format!(
            "<section class=\"explore\" hidden>\n<h2 id=\"{id}\">{}</h2>\n<p>{}</p>\n\
             <script type=\"application/json\">{data}</script>\n</section>\n",
            explore::HEADING,
            explore::EXPLANATION
        ));
        self.contents.push((explore::HEADING.into(), id));
    }

    fn end_section(&mut self, next: &str) {
        let (html, wide) = self.rendering.begin(next);
        if !html.is_empty() {
            let class = if wide { " class=\"wide\"" } else { "" };
            self.body.push_str(&format!("<section{class}>\n{html}</section>\n"));
        }
    }

    /// An SVG of ours inside the page, as wide as that; it has no ids, so that several of them do not clash.
    fn figure(&mut self, svg: &str, shows: &str, caption: &str) {
        let (head, content) = svg.split_once('>').expect("an SVG begins with a tag");
        let (_, from) = head.split_once("viewBox=\"").expect("the backend writes a view box");
        let (view_box, _) = from.split_once('"').expect("an attribute ends");
        self.rendering.raw("<figure>\n");
        self.rendering.open_scroll("drawing", &format!("Figure: {shows}"));
        self.rendering.raw(&format!(
            "<svg viewBox=\"{view_box}\" role=\"img\" aria-label=\"{}\">{content}</div>\n<figcaption>\n",
            escape(shows)
        ));
        self.rendering.markdown(caption);
        self.rendering.raw("</figcaption>\n</figure>\n");
    }

    /// A table of properties and their values.
    fn facts(&mut self, name: &str, facts: &[(&str, String)]) {
        let rows: Vec<Vec<String>> =
            facts.iter().map(|(fact, value)| vec![fact.to_string(), value.clone()]).collect();
        self.rendering.table(name, &[(name, false), ("value", false)], &rows);
    }

    fn preformatted(&mut self, text: &str) {
        self.rendering.raw(&format!("<pre>{}</pre>\n", escape(text)));
    }

    fn plan(&mut self, estimates: &Estimates, manifest: &Manifest) {
        self.heading("Plan");
        let specs: Vec<&CellSpec> = manifest.cells.iter().map(|cell| &cell.spec).collect();
        let rates = ascending(specs.iter().map(|spec| spec.rate.get()));
        let rates: Vec<String> = rates.into_iter().map(rate_label).collect();
        let some = |names: Vec<String>| match names.len() {
            0..=12 => names.join(", "),
            many => format!("{many}, from {} to {}", names[0], names[many - 1]),
        };
        let protections = first_appearances(&specs, |spec| &spec.protection);
        let fault_models = first_appearances(&specs, |spec| &spec.fault_model);
        let trials: usize = estimates.cells.iter().map(|cell| cell.trials.len()).sum();
        let rates_are = match common_name(specs.iter().map(|spec| &spec.fault_model)) {
            "bit error rate" => "bit error rates",
            _ => "rates",
        };
        let mut facts = vec![
            ("protections", some(protections.iter().map(ToString::to_string).collect())),
            ("fault models", some(fault_models.iter().map(ToString::to_string).collect())),
            (rates_are, rates.join(", ")),
            ("cells", specs.len().to_string()),
            ("planned trials a cell", manifest.trials.to_string()),
        ];
        if let Some(stop) = manifest.stop {
            let rule = match stop {
                StopRule::Failures(FailureRule { failures, drop_points }) => {
                    format!("after {failures} trials that lose {drop_points} points or more")
                }
                StopRule::HalfWidth(rule) => format!(
                    "when the 95 % interval of its mean drop is ± {} points or less, after {} trials or more",
                    rule.half_width,
                    rule.fewest_trials_text(specs.iter().any(|spec| spec.changed_probability.is_some()))
                ),
            };
            facts.push(("a cell ends earlier", rule));
        }
        facts.push(("trials in the records", trials.to_string()));
        self.facts("plan", &facts);

        let rows: Vec<Vec<String>> = manifest
            .networks
            .iter()
            .map(|network| {
                let cells: Vec<_> = estimates.cells.iter().filter(|c| c.key.model == network.label).collect();
                let weights = cells.first().map_or(0, |cell| cell.trials[0].weights);
                let trials: usize = cells.iter().map(|cell| cell.trials.len()).sum();
                vec![
                    network.label.clone(),
                    network.architecture.clone(),
                    weights.to_string(),
                    cells.len().to_string(),
                    trials.to_string(),
                ]
            })
            .collect();
        let columns = [
            ("network", false),
            ("architecture", false),
            ("weights", true),
            ("cells", true),
            ("trials", true),
        ];
        self.rendering.table("Networks of the plan", &columns, &rows);
        self.rendering.raw("<details>\n<summary>The experiment file, word for word</summary>\n");
        self.preformatted(&manifest.source);
        self.rendering.raw("</details>\n");
    }

    fn environment(&mut self, environment: &Environment) {
        self.heading("Environment");
        self.rendering
            .markdown("The environment in which the run was first started. The records do not depend on it.");
        self.facts(
            "environment",
            &[
                ("program", environment.program.clone()),
                ("platform", environment.platform.clone()),
                ("CPU", environment.cpu.clone()),
                ("threads", environment.threads.to_string()),
                ("command", environment.arguments().to_string()),
            ],
        );
    }

    fn reproduction(&mut self, estimates: &Estimates, run: &Run) {
        self.commands(run);
        self.worst_trial(estimates);
    }

    fn commands(&mut self, run: &Run) {
        self.heading("Reproduce");
        let commands = &run.commands;
        self.rendering.markdown(&format!("All of it, on any machine{}:", commands.explanation()));
        self.preformatted(commands.repeat);
        self.rendering.markdown("The records, `trials.parquet`, then have the SHA-256");
        self.preformatted(run.trials_sha256);
        self.rendering.markdown(
            "The following command computes a sample of them again and compares it, where `DIR` is the folder with \
             `manifest.json` and `trials.parquet`:",
        );
        self.preformatted(commands.verify);
        self.rendering.markdown("And a single trial, flip by flip and word by word. The one that lost most:");
        self.preformatted(commands.replay);
    }

    fn worst_trial(&mut self, estimates: &Estimates) {
        let worst = estimates.worst_trial();
        let record = &worst.record;
        let terms = Terms::of(estimates);
        let (lost, hashed) = match terms.metric() {
            None => ("lost, points".to_string(), "hash of all predictions"),
            Some(metric) => (format!("degradation of {metric}"), "hash of all scores"),
        };
        self.facts(
            "this trial",
            &[
                ("network", worst.model.to_string()),
                ("protection", worst.protection.to_string()),
                ("fault model", worst.fault_model.to_string()),
                (&rate_name(&worst.fault_model), rate_label(worst.rate)),
                ("flipped bits, data and check", format!("{} and {}", record.flips_data, record.flips_check)),
                ("weights changed", record.weights_changed.to_string()),
                (&lost, terms.number(estimates.lost(worst))),
                ("hash of the flips", record.pattern_hash.clone()),
                (hashed, record.predictions_hash.clone()),
            ],
        );
    }

    /// `records` are the environment of the run and the SHA-256 of its merged table.
    fn citation(&mut self, records: Option<(&Environment, &str)>) {
        self.heading("How to cite");
        self.rendering.markdown("The program and these records:");
        let program = records.map(|(environment, _)| environment.program.as_str()).unwrap_or_default();
        let version = program
            .rsplit_once(' ')
            .map_or(String::new(), |(_, version)| format!("\n  version = {{{version}}},"));
        let records = records
            .map_or(String::new(), |(_, sha256)| format!("\n  note    = {{Records with SHA-256 {sha256}}},"));
        self.preformatted(&format!(
            "@software{{zerospace,\n  author  = {{{{The zerospace developers}}}},\n  title   = {{zerospace: Fault \
             injection into int8 {{CNN}} weights, and zero-space protection}},{version}{records}\n  license = {{MIT OR \
             Apache-2.0}}\n}}"
        ));
        self.rendering.markdown("The paper that it builds on:");
        self.preformatted(PAPER);
    }

    fn files(&mut self, files: &[&ReportFile], has_run: bool) {
        self.heading("Files");
        self.rendering.markdown("Beside this page, which needs none of them:");
        let item = |file: &&ReportFile| format!("- [{0}]({0}): {1}", file.name, file.description);
        let list: Vec<String> = files.iter().map(item).collect();
        self.rendering.markdown(&list.join("\n"));
        if has_run {
            self.rendering.markdown(
                "In the run's folder: `manifest.json`, the plan with every condition of every cell, and `trials.parquet`, \
                 the records, a row for each trial.",
            );
        }
    }

    fn closed(mut self, title: &str, conditions: &str) -> String {
        self.end_section("");
        let (title, conditions) = (escape(title), escape(conditions));
        let item = |(heading, id): &(String, String)| {
            let hidden = if self.explored.is_some() && heading == explore::HEADING { " hidden" } else { "" };
            format!("<li{hidden}><a href=\"#{id}\">{}</a></li>", escape(heading))
        };
        let contents: Vec<String> = self.contents.iter().map(item).collect();
        let (policy, script) = match self.explored {
            None => (String::new(), String::new()),
            Some(_) => (
                format!(" script-src {};", explore::script_source()),
                format!("<script>{}</script>\n", explore::SCRIPT),
            ),
        };
        format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none';{policy} style-src 'unsafe-inline'; \
             img-src data:\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <title>{title}</title>\n<link rel=\"icon\" href=\"data:,\">\n<style>\n{STYLE}</style>\n</head>\n<body>\n\
             <header>\n<h1>{title}</h1>\n<p>{conditions}.</p>\n</header>\n\
             <nav aria-label=\"Contents\">\n<ul>\n{}\n</ul>\n</nav>\n\
             <main>\n{}</main>\n{script}</body>\n</html>\n",
            contents.join("\n"),
            self.body
        )
    }
}

/// The id of a section, which no earlier one has: letters, digits and hyphens.
fn anchor(heading: &str, earlier: &[(String, String)]) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let id: String = heading.chars().map(plain).collect();
    let numbered = (2..).map(|number| format!("{id}-{number}"));
    let free = |id: &String| earlier.iter().all(|(_, taken)| taken != id);
    std::iter::once(id.clone()).chain(numbered).find(free).expect("some number is free")
}

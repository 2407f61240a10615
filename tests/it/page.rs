//! `report.html`, as a reader gets it: from published records, and of an experiment whose names are hostile.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::image_folder::{campaign, workshop};
use crate::program::{root, said, say, succeed, zerospace};

/// Reports of every kind: curves, a comparison, a sweep, changed trials.
const PUBLISHED: [&str; 4] = ["reproduce", "compare", "sensitivity-resnet18", "rare-events"];

const HOSTILE: &str = "<script>document.title = 1</script> & <img src=x onerror=alert(1)> ](x) *a*";

/// Reports published records into `folder` and returns the page.
fn report(name: &str, folder: &Path) -> PathBuf {
    let run = root().join("results").join(name);
    let out = folder.join(name);
    succeed(folder, &["report", run.to_str().unwrap(), "--out", out.to_str().unwrap()]);
    out.join("report.html")
}

/// Runs a campaign on images without labels, whose title and whose file of weights have hostile names.
fn hostile(folder: &Path) -> PathBuf {
    let weights = "a <b>&amp; [x](javascript:alert(1)).safetensors";
    std::fs::rename(folder.join("data/imagenet"), folder.join("data/images")).unwrap();
    std::fs::rename(folder.join("float.safetensors"), folder.join(weights)).unwrap();
    let options = "--arch squeezenet1_1 --width 0.125 --side 64 --throttle -o net.safetensors --set images --classes 3 \
                   --calibration-images 9";
    let quantize: Vec<&str> = ["quantize", weights].into_iter().chain(options.split_whitespace()).collect();
    succeed(folder, &quantize);
    let experiment = campaign("images", 12).replace("\"Random network\"", &format!("'{HOSTILE}'"));
    assert!(experiment.contains(HOSTILE));
    std::fs::write(folder.join("x.toml"), experiment).unwrap();
    succeed(folder, &["run", "x.toml"]);
    folder.join("runs/x/report.html")
}

#[test]
fn what_the_page_says_of_reproduction_is_so() {
    let folder = tempfile::tempdir().unwrap();
    let page = std::fs::read_to_string(report("reproduce", folder.path())).unwrap();
    let records = std::fs::read(root().join("results/reproduce/trials.parquet")).unwrap();
    let hash = durable::sha256_hex(&records);
    assert!(page.contains(&format!("<pre>{hash}</pre>")), "{hash}");
    let plan = std::fs::read_to_string(root().join("experiments/reproduce.toml")).unwrap();
    assert!(
        page.contains(&format!("<pre>{}</pre>", plan.replace('"', "&quot;").replace('\'', "&#39;"))),
        "the plan is not word for word"
    );

    // Both commands work as they stand there, and the trial is the one that is described.
    let command = |verb: &str| {
        let (_, rest) = page.split_once(&format!("<pre>zerospace {verb} ")).unwrap();
        let line = rest.split_once("</pre>").unwrap().0.replace("DIR", "results/reproduce");
        let words: Vec<&str> = [verb].into_iter().chain(line.split(' ')).collect();
        zerospace(&root(), &words)
    };
    let replayed = command("replay");
    assert_eq!(replayed.code, 0, "{}", replayed.stderr);
    assert!(replayed.stderr.contains("the stored record is the same"), "{}", replayed.stderr);
    let (_, described) = page.split_once(">hash of all predictions</th><td>").unwrap();
    let predictions = described.split('<').next().unwrap();
    assert!(replayed.stdout.contains(predictions), "{predictions}: {}", replayed.stdout);
    let verified = command("verify");
    assert_eq!(verified.code, 0, "{}", verified.stderr);
}

#[test]
fn a_page_holds_its_figures_and_needs_no_other_file() {
    let folder = tempfile::tempdir().unwrap();
    // Figures, and how many spots of the first tell a value: means and fault-free networks, or fields.
    for (name, figures, spots) in
        [("compare", 2, 352 + 88), ("sensitivity-resnet18", 1, 336), ("rare-events", 1, 24 + 4)]
    {
        let path = report(name, folder.path());
        let page = std::fs::read_to_string(&path).unwrap();
        assert_eq!(page.matches("<svg ").count(), figures, "{name}");
        let first = page.split("<svg ").nth(1).unwrap().split("</svg>").next().unwrap();
        assert_eq!(first.matches("<title>").count(), spots, "{name}");
        for other in
            [" src=", "@import", "url(", "<script src", "<link rel=\"stylesheet", "import(", "fetch("]
        {
            assert!(!page.contains(other), "{name}: {other}");
        }
        // The only address is the name of SVG.
        assert_eq!(
            page.replace("\"http://www.w3.org/2000/svg\"", "").matches("http://").count(),
            0,
            "{name}"
        );
        // A sweep has no curves to choose from.
        assert_eq!(page.contains("script-src"), name != "sensitivity-resnet18", "{name}");
        assert!(page.len() < 1_500_000, "{name}: {} bytes", page.len());
        // What it links to lies beside it.
        for target in page.split("href=\"").skip(1).map(|rest| rest.split('"').next().unwrap()) {
            let there = match target.strip_prefix('#') {
                Some(id) => page.contains(&format!("id=\"{id}\"")),
                None => target == "data:," || path.with_file_name(target).is_file(),
            };
            assert!(there, "{name}: {target}");
        }
    }
}

#[test]
fn pages_render_read_and_print_in_a_browser() {
    let check = root().join("tests/browser");
    let browser = std::env::var("CHROMIUM").unwrap_or_else(|_| "/usr/bin/chromium".into());
    // What playwright-core needs.
    let node = Command::new("node").arg("--version").output().is_ok_and(|node| {
        let version = String::from_utf8_lossy(&node.stdout).into_owned();
        let major = version.trim_start_matches('v').split('.').next().and_then(|major| major.parse().ok());
        major.is_some_and(|major: u32| major >= 20)
    });
    let lacking = match (node, Path::new(&browser).exists(), check.join("node_modules").is_dir()) {
        (true, true, true) => None,
        (false, ..) => Some("no node 20 or newer (apt-get install nodejs npm)".to_string()),
        (_, false, _) => Some(format!("no {browser} (apt-get install chromium, or set CHROMIUM)")),
        (.., false) => Some("no tests/browser/node_modules (npm ci in tests/browser)".to_string()),
    };
    if let Some(lacking) = lacking {
        say(&format!("SKIPPED report.html in a browser: {lacking}"));
        return;
    }
    let workshop = workshop();
    let folder = workshop.path();
    let mut pages: Vec<PathBuf> = PUBLISHED.map(|name| report(name, folder)).into();
    pages.push(hostile(folder));
    let run = |pages: &[PathBuf], prints: &[&str]| {
        let mut command = Command::new("node");
        command.arg(check.join("check.mjs")).args(pages);
        for text in prints {
            command.args(["--prints", text]);
        }
        said(command.output().unwrap())
    };
    // In print the plan is there too, which the screen folds.
    let checked = run(&pages, &["[data]", "unit_trials", "guan2019inplace"]);
    assert_eq!(checked.code, 0, "{}{}", checked.stdout, checked.stderr);
    assert!(checked.stdout.contains("5 pages, 0 faults"), "{}", checked.stdout);

    // A page with every fault has each of them found.
    let page = std::fs::read_to_string(&pages[4]).unwrap();
    let (policy, _) = page.split_once("<meta http-equiv").unwrap();
    let (_, rest) = page.split_once("img-src data:\">").unwrap();
    let broken = format!("{policy}{rest}").replace("cell.text[1]", "cell.text[0]").replace(
        "<main>",
        "<main><script>missing()</script><img src=\"x.png\"><section><div style=\"width: 2000px\">wide</div></section>",
    );
    std::fs::write(folder.join("broken.html"), broken).unwrap();
    let checked = run(&[folder.join("broken.html")], &["never printed"]);
    assert_eq!(checked.code, 1, "{}", checked.stdout);
    for fault in [
        "a script fails: missing is not defined",
        "x.png",
        "pixels wide in a window of 390",
        "axe-core finds image-alt",
        "cut off in print",
        "Explore: at first, the table differs from the data",
    ] {
        assert!(checked.stderr.contains(fault), "{fault}: {}", checked.stderr);
    }
}

#[test]
fn hostile_names_are_text() {
    let workshop = workshop();
    let page = std::fs::read_to_string(hostile(workshop.path())).unwrap();
    assert!(!page.contains("<script>document") && !page.contains("<img"), "{page}");
    assert_eq!(page.matches("<script").count(), 2, "{page}");
    assert!(!page.contains("href=\"javascript"), "{page}");
    let title = HOSTILE.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    assert!(page.contains(&format!("<h1>{title}</h1>")), "{page}");
    assert_eq!(page.matches("<figure>").count(), 1);
}

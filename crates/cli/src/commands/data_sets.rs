//! `data`: downloads data sets, lists the available ones, and writes images.

mod download;
mod list;
mod published;
mod write;

use std::fs::{self, File};
use std::io::{self, Seek};
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use clap::{Args, Subcommand, ValueEnum};
use data::{DataError, DataSource, FoundSet, Split};

use self::download::{Source, download};
use self::published::{CIFAR10, CIFAR100, IMAGENET_LABELS, Published};
use crate::terminal::exit::Outcome;
use crate::terminal::output::{self, progress_line};
use crate::terminal::signals;
use harness::Failure;

const HELP: &str = "\
Examples:
  zerospace data fetch cifar10
  zerospace data list
  zerospace data write synthetic --split test --images 1000 out/cifar10";

/// Download published data sets, list available ones, or write images of one
#[derive(Args)]
#[command(after_help = HELP)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    Fetch(FetchArguments),
    List(list::Arguments),
    Write(write::Arguments),
}

const FETCH_HELP: &str = "\
cifar10 and cifar100 are the binary versions that their authors publish (170 and 169 MB),
unpacked to DIR/cifar10 and DIR/cifar100. imagenet-labels is a text of 0.5 MB,
DIR/imagenet/validation_labels.txt: with it DIR/imagenet/val may hold the 50,000 validation
images as the official archive does, without folders for classes; and a few class folders, in
val and train, keep their labels among all 1,000. ImageNet's images need an account:
https://image-net.org.

What comes is checked by its SHA-256, and appears under its name only when it is whole and reads
well. After an interruption the same command begins again. Files that are there already are not
fetched again, nor overwritten. Proxies are taken from HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and
NO_PROXY; certificates are checked against Mozilla's roots, which are built in.

A machine without a network takes an archive that was downloaded elsewhere: --from FILE. The
sets `synthetic` and, for any image files, `images` need none.

Examples:
  zerospace data fetch cifar10 cifar100
  zerospace data fetch imagenet-labels --data /data
  zerospace data fetch cifar10 --from ~/Downloads/cifar-10-binary.tar.gz
  zerospace data fetch cifar10 --url http://mirror.example/cifar-10-binary.tar.gz";

/// Download a set, checked, to where the other verbs look for it
#[derive(Args)]
#[command(after_help = FETCH_HELP)]
struct FetchArguments {
    /// Data set to download
    #[arg(value_enum, required = true, value_name = "NAME")]
    names: Vec<Name>,
    /// Directory of data sets
    #[arg(long = "data", value_name = "DIR", env = "ZEROSPACE_DATA", default_value = "data")]
    data_root: PathBuf,
    /// Download from this address instead
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Use this file, which was downloaded elsewhere
    #[arg(long, value_name = "FILE", conflicts_with = "url")]
    from: Option<PathBuf>,
    /// SHA-256 of what --url or --from has, where it is packed otherwise than the published file; the files in it are
    /// then checked by reading them only
    #[arg(long, value_name = "HEX")]
    sha256: Option<String>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Name {
    Cifar10,
    Cifar100,
    ImagenetLabels,
}

impl Name {
    fn published(self) -> &'static Published {
        match self {
            Self::Cifar10 => &CIFAR10,
            Self::Cifar100 => &CIFAR100,
            Self::ImagenetLabels => &IMAGENET_LABELS,
        }
    }
}

pub(crate) fn execute(arguments: &Arguments) -> Result<Outcome, Failure> {
    match &arguments.action {
        Action::Fetch(arguments) => fetch(arguments),
        Action::List(arguments) => list::execute(arguments),
        Action::Write(arguments) => write::execute(arguments),
    }
}

fn fetch(arguments: &FetchArguments) -> Result<Outcome, Failure> {
    let FetchArguments { names, url, from, sha256, .. } = arguments;
    let elsewhere = url.is_some() || from.is_some();
    if elsewhere && names.len() > 1 {
        return Err(Failure::Input(anyhow!(
            "--url and --from bring one file, but {} names are given",
            names.len()
        )));
    }
    if let Some(sha256) = sha256 {
        if !elsewhere {
            return Err(Failure::Input(anyhow!("--sha256 requires --url or --from")));
        }
        if sha256.len() != 64 || !sha256.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(Failure::Input(anyhow!("--sha256 is {sha256:?}, expected 64 hex digits")));
        }
    }
    for name in names {
        let published = name.published();
        let place = Fetch { published, arguments }.execute()?;
        output::data(&place.display().to_string());
    }
    Ok(Outcome::Done)
}

/// A published file and the directory for it.
struct Fetch<'a> {
    published: &'a Published,
    arguments: &'a FetchArguments,
}

impl Fetch<'_> {
    /// Returns the directory that now holds the files.
    fn execute(&self) -> Result<PathBuf, Failure> {
        let Self { published, arguments } = self;
        if let Some(there) = self.already_there()? {
            return Ok(there);
        }
        let sha256 = arguments.sha256.as_deref().unwrap_or(published.sha256).to_ascii_lowercase();
        let (place, mut file) = match &arguments.from {
            Some(path) => {
                let place = path.display().to_string();
                let file = File::open(path).with_context(|| place.clone()).map_err(Failure::Input)?;
                (place, file)
            }
            None => self.download()?,
        };
        let found = durable::sha256_hex_of(&file).and_then(|found| file.rewind().map(|()| found));
        let found = found.with_context(|| place.clone()).map_err(Failure::Input)?;
        if found != sha256 {
            return Err(Failure::Input(anyhow!("{place}: SHA-256 is {found}, expected {sha256}")));
        }
        let dir = arguments.data_root.join(published.dir);
        let holds = signals::whole(|| self.install(Path::new(&place), &file, &dir))?;
        progress_line(&format!("{}: {holds}", published.name));
        Ok(dir)
    }

    /// Returns the URL and the downloaded file, which has no name and goes when the process ends.
    fn download(&self) -> Result<(String, File), Failure> {
        let Self { published, arguments } = self;
        let url = arguments.url.as_deref().unwrap_or(published.url);
        let root = &arguments.data_root;
        let made = fs::create_dir_all(root).and_then(|()| tempfile::tempfile_in(root));
        let mut file = made.with_context(|| root.display().to_string()).map_err(Failure::Machine)?;
        progress_line(&format!("{}: fetching {url}", published.name));
        let instead = match published.set {
            Some(_) => ", or use the set `synthetic`, which needs no data",
            None => "",
        };
        let bytes = arguments.sha256.is_none().then_some(published.bytes);
        download(&Source { root, url, bytes, instead }, &mut file)?;
        Ok((url.into(), file))
    }

    /// Returns the directory that holds the files; `None` if some are missing.
    ///
    /// # Errors
    /// Input, when files of other content are in the way.
    fn already_there(&self) -> Result<Option<PathBuf>, Failure> {
        let Self { published, arguments } = self;
        let root = &arguments.data_root;
        let mut dir = root.join(published.dir);
        if let Some(set) = published.set {
            let [train, test] = [find(set, root, Split::Train)?, find(set, root, Split::Test)?];
            let is_parquet = |found: &Option<FoundSet>| found.as_ref().is_some_and(FoundSet::is_parquet);
            match (is_parquet(&train), is_parquet(&test)) {
                (true, true) => {
                    progress_line(&format!(
                        "{}: there already, as Hugging Face parquet, which goes before the published files; nothing was fetched",
                        published.name
                    ));
                    return Ok(Some(dir));
                }
                (false, false) => {}
                (train, _) => {
                    return Err(Failure::Input(anyhow!(
                        "{}: holds {} images as Hugging Face parquet, which goes before the published files, and no others; \
                         expected both kinds or none",
                        dir.display(),
                        if train { "training" } else { "test" }
                    )));
                }
            }
            if let Some(found) = train.as_ref().and_then(FoundSet::binary_dir) {
                dir = found.into();
            }
        }
        let mut all = true;
        for (name, sha256) in published.files {
            let path = dir.join(name);
            if !path.exists() {
                all = false;
            } else if arguments.sha256.is_none() {
                let found = sha256_of(&path).map_err(Failure::Machine)?;
                if found != *sha256 {
                    return Err(in_the_way(
                        &path,
                        &format!("the published file (SHA-256 {found}, expected {sha256})"),
                    ));
                }
            }
        }
        if !all {
            return Ok(None);
        }
        let holds = (published.read)(&dir).map_err(Failure::input)?;
        progress_line(&format!("{}: there already, {holds}; nothing was fetched", published.name));
        Ok(Some(dir))
    }

    /// Unpacks `file`, reads the files in it as the loaders do, and only then gives them their names in `dir`. Returns what
    /// they hold.
    fn install(&self, place: &Path, file: &File, dir: &Path) -> Result<String, Failure> {
        let published = self.published;
        let names: Vec<&str> = published.files.iter().map(|(name, _)| *name).collect();
        let contents = match published.packed {
            true => data::archive_members(place, file, &names).map_err(Failure::input)?,
            false => Vec::new(),
        };
        let staging = fs::create_dir_all(dir)
            .and_then(|()| tempfile::Builder::new().prefix("fetch.").suffix(".partial").tempdir_in(dir));
        let staging = staging.with_context(|| dir.display().to_string()).map_err(Failure::Machine)?;
        let staged = |name: &str| staging.path().join(name);
        let written = match published.packed {
            true => {
                names.iter().zip(&contents).try_for_each(|(name, bytes)| durable::write(&staged(name), bytes))
            }
            false => durable::write_with(&staged(names[0]), |to| io::copy(&mut &*file, to).map(drop)),
        };
        written.with_context(|| staging.path().display().to_string()).map_err(Failure::Machine)?;
        let holds = (published.read)(staging.path()).map_err(Failure::input)?;
        let mut new = Vec::new();
        for name in names {
            let (from, to) = (staged(name), dir.join(name));
            if !to.exists() {
                new.push((from, to));
            } else if sha256_of(&from).map_err(Failure::Machine)?
                != sha256_of(&to).map_err(Failure::Machine)?
            {
                return Err(in_the_way(&to, &format!("the {name} that was fetched")));
            }
        }
        let name = || {
            new.iter().try_for_each(|(from, to)| fs::rename(from, to))?;
            File::open(dir)?.sync_all()
        };
        name().with_context(|| dir.display().to_string()).map_err(Failure::Machine)?;
        Ok(holds)
    }
}

fn sha256_of(path: &Path) -> anyhow::Result<String> {
    File::open(path).and_then(durable::sha256_hex_of).with_context(|| path.display().to_string())
}

fn in_the_way(path: &Path, other: &str) -> Failure {
    Failure::Input(anyhow!("{}: there already, and not {other}; move it away first", path.display()))
}

/// A split of a set, if it exists.
fn find(set: DataSource, root: &Path, split: Split) -> Result<Option<FoundSet>, Failure> {
    match set.find(root, split) {
        Ok(found) => Ok(Some(found)),
        Err(DataError::NotFound { .. }) => Ok(None),
        Err(error) => Err(Failure::input(error)),
    }
}

//! Options on where the data sets lie and how many threads work.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use harness::{DataSets, Failure};

/// Threads, and the cache of decoded images.
#[derive(Args)]
pub(crate) struct Resources {
    /// Directory that keeps decoded images of folders, so that they are decoded once [default: .zerospace-cache in the
    /// directory of images or data sets]
    #[arg(long, value_name = "DIR", env = "ZEROSPACE_CACHE")]
    pub(crate) cache: Option<PathBuf>,
    /// Number of threads; results do not depend on it [default: all cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,
}

/// The directory of data sets, and resources for the work on them.
#[derive(Args)]
pub(crate) struct Machine {
    /// Directory of data sets; `cifar10` is looked for in DIR/cifar10, as Hugging Face parquet, in the published binary
    /// form (`zerospace data fetch cifar10`) or as torchvision's pickles, `imagenet` in DIR/imagenet/val/CLASS/*.JPEG,
    /// `images` (any, without labels) in DIR/images; others: `zerospace data list --help`
    #[arg(long = "data", value_name = "DIR", env = "ZEROSPACE_DATA", default_value = "data")]
    pub(crate) data_root: PathBuf,
    #[command(flatten)]
    pub(crate) resources: Resources,
}

impl Machine {
    /// As [`Resources::start`].
    pub(crate) fn start(&self) -> Result<usize, Failure> {
        self.resources.start()
    }

    /// The data sets.
    pub(crate) fn data(&self) -> DataSets {
        self.resources.data_in(&self.data_root)
    }
}

impl Resources {
    /// Data sets in a directory, with the cache that was chosen.
    pub(crate) fn data_in(&self, root: &Path) -> DataSets {
        DataSets { root: root.into(), cache: self.cache.clone() }
    }

    /// Starts the worker threads; returns their number.
    pub(crate) fn start(&self) -> Result<usize, Failure> {
        let threads = self.threads.map_or(0, usize::from);
        rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build_global()
            .context("worker threads")
            .map_err(Failure::Machine)?;
        Ok(rayon::current_num_threads())
    }
}

//! Values of options for shell completion. They are hints; the crates that know the names check them.

use std::ffi::OsStr;
use std::sync::LazyLock;

use clap::builder::{PossibleValue, StringValueParser, TypedValueParser};
use clap::{Arg, Command, Error};
use data::{DataSource, FolderSource};

/// Accepts any text; the names serve completion.
#[derive(Clone)]
pub(crate) struct Named(pub(crate) fn() -> Vec<&'static str>);

impl TypedValueParser for Named {
    type Value = String;

    fn parse_ref(
        &self,
        command: &Command,
        argument: Option<&Arg>,
        value: &OsStr,
    ) -> Result<Self::Value, Error> {
        StringValueParser::new().parse_ref(command, argument, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new((self.0)().into_iter().map(PossibleValue::new)))
    }
}

/// Ids of protections, without policies.
pub(crate) fn protections() -> Vec<&'static str> {
    static IDS: LazyLock<Vec<String>> =
        LazyLock::new(|| ecc::all().iter().map(|protection| protection.id().into()).collect());
    IDS.iter().map(String::as_str).collect()
}

/// Ids of architecture variants.
pub(crate) fn variants() -> Vec<&'static str> {
    graph::Variant::ALL.map(graph::Variant::id).to_vec()
}

/// Names of data sets.
pub(crate) fn image_sets() -> Vec<&'static str> {
    let listed = DataSource::ALL.map(DataSource::name);
    listed.into_iter().chain(FolderSource::ALL.map(FolderSource::name)).collect()
}

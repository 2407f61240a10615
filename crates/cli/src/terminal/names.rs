//! Values of options that shells complete. They are hints: what is taken is for the crates to say that know the names.

use std::ffi::OsStr;
use std::sync::LazyLock;

use clap::builder::{PossibleValue, StringValueParser, TypedValueParser};
use clap::{Arg, Command, Error};
use data::{DataSource, FolderSource};

/// Takes any text; the names are for completion.
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

/// Protections, without policies.
pub(crate) fn protections() -> Vec<&'static str> {
    static IDS: LazyLock<Vec<String>> =
        LazyLock::new(|| ecc::all().iter().map(|protection| protection.id().into()).collect());
    IDS.iter().map(String::as_str).collect()
}

/// Variants of architectures.
pub(crate) fn variants() -> Vec<&'static str> {
    graph::Variant::ALL.map(graph::Variant::id).to_vec()
}

/// Data sets.
pub(crate) fn image_sets() -> Vec<&'static str> {
    let listed = DataSource::ALL.map(DataSource::name);
    listed.into_iter().chain(FolderSource::ALL.map(FolderSource::name)).collect()
}

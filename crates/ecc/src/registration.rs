//! Protections of a user, known by their ids within this process.

use std::sync::{Arc, PoisonError, RwLock};

use design::ProtectionName;

use crate::soundness::check_id;
use crate::{CodeMap, Protection, UnsoundProtection, all, check_protection};

/// Protections and code maps with their ids and parameters: nothing of a protection runs while the list is locked.
static REGISTERED: RwLock<Vec<Entry>> = RwLock::new(Vec::new());

struct Entry {
    id: String,
    parameters: String,
    known: Known,
}

enum Known {
    Protection(Arc<dyn Protection>),
    Map(Arc<CodeMap>),
}

/// The reason for which a protection is not registered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegistrationError {
    /// The id, or another name, of a built-in protection.
    #[error("the id of the protection is `{0}`, expected one that no built-in protection has")]
    BuiltIn(String),
    /// Another protection has the id.
    #[error(
        "the id of the protection is `{id}`, which is registered with the parameters {known:?}, expected another id for the \
         parameters {found:?}"
    )]
    Taken {
        /// The id of both.
        id: String,
        /// Parameters of the registered protection.
        known: String,
        /// Parameters of the protection that is refused.
        found: String,
    },
    /// The protection fails a check.
    #[error(transparent)]
    Unsound(#[from] UnsoundProtection),
}

/// Makes a protection known to [`crate::by_id`] in this process, after the checks of [`check_protection`]. A protection with
/// the id and the parameters of a registered one takes its place.
///
/// # Errors
/// When a built-in protection has the id, a registered one has it with other parameters, or a check fails.
pub fn register(protection: Arc<dyn Protection>) -> Result<(), RegistrationError> {
    make_protection_known(protection, false)
}

/// Registers a protection as [`register`] does, and in place of one with the same id and other parameters too. A memory that
/// stores weights under the other one keeps it; the caller sees to it that no campaign under that one is running, since a
/// campaign asks for its protections by their ids.
///
/// # Errors
/// When a built-in protection has the id, or a check fails.
pub fn replace(protection: Arc<dyn Protection>) -> Result<(), RegistrationError> {
    make_protection_known(protection, true)
}

/// Makes a code map known to [`crate::for_layout`] in this process. A map with the id and the codes of a registered one takes
/// its place.
///
/// # Errors
/// When a built-in protection has the id, a protection or map of other parameters is registered with it, or it is no id.
pub fn register_map(map: Arc<CodeMap>) -> Result<(), RegistrationError> {
    make_map_known(map, false)
}

/// Registers a code map as [`register_map`] does, and in place of one with the same id and other codes too, as [`replace`]
/// does.
///
/// # Errors
/// When a built-in protection has the id, or it is no id.
pub fn replace_map(map: Arc<CodeMap>) -> Result<(), RegistrationError> {
    make_map_known(map, true)
}

fn make_map_known(map: Arc<CodeMap>, in_place_of_others: bool) -> Result<(), RegistrationError> {
    check_id(map.id())?;
    check_built_in(map.id())?;
    let (id, parameters) = (map.id().to_owned(), map.definition());
    make_known(Entry { id, parameters, known: Known::Map(map) }, in_place_of_others)
}

fn make_protection_known(
    protection: Arc<dyn Protection>,
    in_place_of_others: bool,
) -> Result<(), RegistrationError> {
    check_built_in(protection.id())?;
    check_protection(&*protection)?;
    let (id, parameters) = (protection.id().to_owned(), protection.parameters());
    make_known(Entry { id, parameters, known: Known::Protection(protection) }, in_place_of_others)
}

fn check_built_in(id: &str) -> Result<(), RegistrationError> {
    // The paper's names of built-in protections too.
    let built_in = ProtectionName::new(id)
        .is_ok_and(|name| all().iter().any(|protection| protection.id() == name.code()));
    if built_in { Err(RegistrationError::BuiltIn(id.into())) } else { Ok(()) }
}

fn make_known(entry: Entry, in_place_of_others: bool) -> Result<(), RegistrationError> {
    let mut registered = REGISTERED.write().unwrap_or_else(PoisonError::into_inner);
    match registered.iter_mut().find(|known| known.id == entry.id) {
        None => registered.push(entry),
        Some(known) if in_place_of_others || known.parameters == entry.parameters => {
            let replaced = std::mem::replace(known, entry);
            drop(registered);
            drop(replaced);
        }
        Some(Entry { parameters, .. }) => {
            let known = parameters.clone();
            return Err(RegistrationError::Taken { id: entry.id, known, found: entry.parameters });
        }
    }
    Ok(())
}

/// Returns the registered protections of this process, in the order in which their ids were registered.
pub fn registered() -> Vec<Arc<dyn Protection>> {
    let registered = REGISTERED.read().unwrap_or_else(PoisonError::into_inner);
    let protection = |entry: &Entry| match &entry.known {
        Known::Protection(protection) => Some(Arc::clone(protection)),
        Known::Map(_) => None,
    };
    registered.iter().filter_map(protection).collect()
}

/// Returns the registered code map with an id.
pub fn registered_map(id: &str) -> Option<Arc<CodeMap>> {
    let registered = REGISTERED.read().unwrap_or_else(PoisonError::into_inner);
    registered.iter().filter(|entry| entry.id == id).find_map(|entry| match &entry.known {
        Known::Map(map) => Some(Arc::clone(map)),
        Known::Protection(_) => None,
    })
}

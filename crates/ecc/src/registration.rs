//! Protections of a user, known by their ids within this process.

use std::sync::{Arc, PoisonError, RwLock};

use design::ProtectionName;

use crate::{Protection, UnsoundProtection, all, check_protection};

/// Protections with their parameters: nothing of a protection runs while the list is locked.
static REGISTERED: RwLock<Vec<(Arc<dyn Protection>, String)>> = RwLock::new(Vec::new());

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
    make_known(protection, false)
}

/// Registers a protection as [`register`] does, and in place of one with the same id and other parameters too. A memory that
/// stores weights under the other one keeps it; the caller sees to it that no campaign under that one is running, since a
/// campaign asks for its protections by their ids.
///
/// # Errors
/// When a built-in protection has the id, or a check fails.
pub fn replace(protection: Arc<dyn Protection>) -> Result<(), RegistrationError> {
    make_known(protection, true)
}

fn make_known(protection: Arc<dyn Protection>, in_place_of_others: bool) -> Result<(), RegistrationError> {
    let id = protection.id().to_owned();
    // The paper's names of built-in protections too.
    let built_in = ProtectionName::new(id.as_str())
        .is_ok_and(|name| all().iter().any(|protection| protection.id() == name.code()));
    if built_in {
        return Err(RegistrationError::BuiltIn(id));
    }
    check_protection(&*protection)?;
    let parameters = protection.parameters();
    let mut registered = REGISTERED.write().unwrap_or_else(PoisonError::into_inner);
    let entry = (protection, parameters);
    match registered.iter_mut().find(|(known, _)| known.id() == id) {
        None => registered.push(entry),
        Some(known) if in_place_of_others || known.1 == entry.1 => {
            let replaced = std::mem::replace(known, entry);
            drop(registered);
            drop(replaced);
        }
        Some((_, known)) => {
            return Err(RegistrationError::Taken { id, known: known.clone(), found: entry.1 });
        }
    }
    Ok(())
}

/// Returns the registered protections of this process, in the order in which their ids were registered.
pub fn registered() -> Vec<Arc<dyn Protection>> {
    let registered = REGISTERED.read().unwrap_or_else(PoisonError::into_inner);
    registered.iter().map(|(protection, _)| Arc::clone(protection)).collect()
}

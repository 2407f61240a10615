//! Python exceptions for the errors of the harness.

use std::io::{self, ErrorKind};

use harness::Failure;
use pyo3::create_exception;
use pyo3::exceptions::{PyFileNotFoundError, PyOSError, PyPermissionError, PyValueError};
use pyo3::prelude::*;

create_exception!(
    zerospace,
    OtherPlanError,
    PyValueError,
    "A run directory holds records of another plan than the one that was asked for."
);
create_exception!(
    zerospace,
    VerificationError,
    PyValueError,
    "A recomputed record differs from the stored one, or stored records contradict each other."
);

/// Returns the exception for a failure: an `OSError` if the machine refused, and otherwise a `ValueError`.
pub(crate) fn raised(failure: &Failure) -> PyErr {
    let sentence = failure.to_string();
    let refused = failure.error().chain().find_map(|cause| cause.downcast_ref::<io::Error>());
    match (failure, refused.map(io::Error::kind)) {
        (Failure::OtherPlan(_), _) => OtherPlanError::new_err(sentence),
        (Failure::Verification(_), _) => VerificationError::new_err(sentence),
        (_, Some(ErrorKind::NotFound)) => PyFileNotFoundError::new_err(sentence),
        (_, Some(ErrorKind::PermissionDenied)) => PyPermissionError::new_err(sentence),
        (Failure::Machine(_), _) | (_, Some(_)) => PyOSError::new_err(sentence),
        (Failure::Input(_), None) => PyValueError::new_err(sentence),
    }
}

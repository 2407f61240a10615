use std::panic::{AssertUnwindSafe, catch_unwind};

/// Turns a panic into its message, which has gone to the panic hook as well.
///
/// # Errors
/// With that message.
///
/// For what no check in front can prevent: the parquet crate (60.1) indexes out of bounds where a page ends inside a value's length, and image
/// decoders have such faults too. Callers give up whatever `read` has begun, so nothing half-made is seen.
pub fn caught<T>(read: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(read)).map_err(|payload| {
        let message = payload
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| payload.downcast_ref::<&str>().copied());
        message.unwrap_or("no message").into()
    })
}

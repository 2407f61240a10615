//! Files that appear under their names whole or not at all, the hash that names their content, and the version that a
//! reader looks at first.
//!
//! - [`write()`], [`write_with`] and [`create_new`] write a file, [`create_folder`] makes a directory; a power failure
//!   afterwards loses neither.
//! - [`sha256_hex`], [`sha256_hex_of`], [`sha256_base64`] and [`hex`] give hashes as text.
//! - [`version`] reads the version of a JSON object whose other fields may be unknown.

mod digest;
mod version;
mod write;

pub use digest::{hex, sha256_base64, sha256_hex, sha256_hex_of};
pub use version::version;
pub use write::{PARTIAL, create_folder, create_new, write, write_with};

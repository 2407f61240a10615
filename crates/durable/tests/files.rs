//! Files that appear whole or not at all, hashes, and version fields.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use durable::{create_folder, create_new, hex, sha256_hex, sha256_hex_of, version, write, write_with};

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn a_file_is_replaced_and_nothing_is_left_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    write(&path, b"first").unwrap();
    write(&path, b"second").unwrap();
    assert_eq!((fs::read(&path).unwrap(), names(folder.path())), (b"second".to_vec(), vec!["a".to_string()]));
}

#[test]
fn a_write_that_fails_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    write(&path, b"first").unwrap();
    let half = |file: &mut (dyn Write + Send)| {
        file.write_all(b"sec")?;
        Err(io::Error::other("no more"))
    };
    assert_eq!(write_with(&path, half).unwrap_err().to_string(), "no more");
    assert_eq!((fs::read(&path).unwrap(), names(folder.path())), (b"first".to_vec(), vec!["a".to_string()]));
    assert!(write(&folder.path().join("none/a"), b"").is_err());
}

#[test]
fn of_many_writers_one_creates_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    let written = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..8_u8)
            .map(|writer| {
                let path = &path;
                scope.spawn(move || create_new(path, &[writer; 1000]).unwrap().then_some(writer))
            })
            .collect();
        writers.into_iter().filter_map(|writer| writer.join().unwrap()).collect::<Vec<u8>>()
    });
    assert_eq!(written.len(), 1);
    assert_eq!((fs::read(&path).unwrap(), names(folder.path()).len()), (vec![written[0]; 1000], 1));
}

#[test]
fn folders_are_made_with_their_parents() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a/b");
    create_folder(&path).unwrap();
    create_folder(&path).unwrap();
    write(&path.join("c"), b"").unwrap();
    assert!(create_folder(&path.join("c/d")).is_err());
}

/// The example of FIPS 180-2, appendix B.1.
#[test]
fn hashes_are_sha256_in_lowercase_hex() {
    let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!((sha256_hex(b"abc").as_str(), hex(&[0, 10, 255]).as_str()), (expected, "000aff"));
    assert_eq!(sha256_hex_of(&b"abc"[..]).unwrap(), expected);
}

#[test]
fn a_version_is_read_whatever_else_is_there() {
    assert_eq!(version(br#"{"news": [{}], "v": 3, "more": null}"#, "v").unwrap(), 3);
    for (json, expected) in [
        ("{}", "missing field `v` at line 1 column 2"),
        (r#"{"v": 1, "v": 2}"#, "duplicate field `v` at line 1 column 16"),
        (r#"{"v": -1}"#, "invalid value: integer `-1`, expected u32 at line 1 column 8"),
        ("[1]", "invalid type: sequence, expected an object with a field `v` at line 1 column 0"),
        (r#"{"v": 1} {}"#, "trailing characters at line 1 column 10"),
    ] {
        assert_eq!(version(json.as_bytes(), "v").unwrap_err().to_string(), expected, "{json}");
    }
}

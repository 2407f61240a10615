use std::path::Path;

use crate::{DataError, file};

/// Number of validation images of ImageNet's 2012 challenge.
const IMAGES: usize = 50_000;

/// Number of validation images of each class.
const IMAGES_PER_CLASS: usize = 50;

/// The largest file that is read; 50,000 lines of 9 letters take half of it.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// Prefix of the file names of images; the number of the image follows.
const PREFIX: &str = "ILSVRC2012_val_";

/// The labels of ImageNet's 50,000 validation images (ILSVRC 2012), which the official archive holds in one
/// flat folder.
///
/// # File
/// `validation_labels.txt` lies beside `val`. It has one line for each image, in the order of the images'
/// numbers: the WordNet id of its class (`n01440764`). All 1,000 classes of the challenge occur, each 50
/// times, so the file also defines the list of classes: the label of a class is the position of its id among
/// the sorted ids, as in torchvision's `ImageFolder`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValidationLabels {
    /// WordNet ids of the classes, sorted.
    ids: Vec<String>,
    labels: Vec<u16>,
}

impl ValidationLabels {
    /// The name of the file, in the directory of the set.
    pub const FILE_NAME: &str = "validation_labels.txt";

    /// Number of classes of the challenge.
    pub const CLASSES: usize = IMAGES / IMAGES_PER_CLASS;

    /// Reads and checks the file.
    ///
    /// # Errors
    /// [`DataError::Layout`] for a line that is no WordNet id, and unless there are 50,000 lines, 50 for each
    /// of 1,000 classes; [`DataError::Io`] and [`DataError::NotAFile`].
    pub fn read(path: &Path) -> Result<Self, DataError> {
        let wrong = |found: String, expected| DataError::Layout { path: path.into(), found, expected };
        let (opened, length) = file::open(path)?;
        if length > MAX_FILE_BYTES {
            return Err(wrong(format!("{length} bytes"), "500000: a WordNet id for each of 50000 images"));
        }
        let bytes = file::read_opened(path, (opened, length))?;
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<&str> = text.lines().collect();
        let is_id = |line: &str| {
            line.strip_prefix('n')
                .is_some_and(|digits| digits.len() == 8 && digits.bytes().all(|b| b.is_ascii_digit()))
        };
        if let Some(line) = lines.iter().position(|line| !is_id(line)) {
            let begin: String = lines[line].chars().take(20).collect();
            let found = format!("line {} begins {begin:?}", line + 1);
            return Err(wrong(found, "a WordNet id, such as n01440764"));
        }
        if lines.len() != IMAGES {
            return Err(wrong(format!("{} lines", lines.len()), "50000, one for each validation image"));
        }
        let mut sorted = lines.clone();
        sorted.sort_unstable();
        for class in sorted.chunk_by(|a, b| a == b) {
            if class.len() != IMAGES_PER_CLASS {
                return Err(wrong(
                    format!("{} images of class {}", class.len(), class[0]),
                    "50 of each class",
                ));
            }
        }
        sorted.dedup();
        let label = |id: &&str| sorted.binary_search(id).expect("every id is among the sorted ones") as u16;
        let labels = lines.iter().map(label).collect();
        Ok(Self { ids: sorted.into_iter().map(String::from).collect(), labels })
    }

    /// The WordNet ids of the classes in the order of their labels.
    pub fn ids(&self) -> &[String] {
        &self.ids
    }

    /// Returns the label of the class with this WordNet id.
    pub fn label_of_id(&self, id: &str) -> Option<u16> {
        // 1,000 labels fit into a u16.
        self.ids.binary_search_by(|known| known.as_str().cmp(id)).ok().map(|label| label as u16)
    }

    /// Returns the label of an image by its file name, `ILSVRC2012_val_00000001.JPEG` to
    /// `ILSVRC2012_val_00050000.JPEG`, with any extension.
    pub fn label_of_file(&self, name: &str) -> Option<u16> {
        let (digits, _) = name.strip_prefix(PREFIX)?.split_once('.')?;
        let eight_digits = digits.len() == 8 && digits.bytes().all(|b| b.is_ascii_digit());
        let number: usize = digits.parse().ok().filter(|_| eight_digits)?;
        self.labels.get(number.checked_sub(1)?).copied()
    }
}

//! Preprocessing from a file beside a model: Hugging Face's `preprocessor_config.json`, or timm's `config.json`.

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use graph::Preprocessing;
use serde_json::{Map, Value};

/// Largest file that is read, in bytes.
const MOST_BYTES: u64 = 1 << 20;

/// Keys of `preprocessor_config.json` that say nothing about the values of pixels.
const WITHOUT_MEANING: [&str; 8] = [
    "image_processor_type",
    "feature_extractor_type",
    "processor_class",
    "valid_processor_keys",
    "_valid_processor_keys",
    "do_convert_rgb",
    "data_format",
    "return_tensors",
];

/// Keys of timm's `pretrained_cfg` that say how pixels become the input; all others describe the weights.
const OF_TIMM: [&str; 3] = ["mean", "std", "input_size"];

/// Interpolations by the numbers of Pillow.
const INTERPOLATIONS: [&str; 6] = ["nearest", "lanczos", "bilinear", "bicubic", "box", "hamming"];

/// Preprocessing that a file beside a model describes.
#[derive(Clone, Debug, PartialEq)]
pub struct PreprocessingFile {
    path: PathBuf,
    preprocessing: Preprocessing,
    /// Rows and columns of the network's input; absent if the file names none.
    side: Option<usize>,
    /// The shorter side before the crop; absent if the file does not resize, or not so.
    resized: Option<f64>,
    /// Interpolation, if the file names one.
    interpolation: Option<String>,
}

impl PreprocessingFile {
    /// Reads the file beside a model, if there is one: `preprocessor_config.json`, or `config.json` with the key `pretrained_cfg`.
    ///
    /// # Errors
    /// If the file is damaged, or describes preprocessing that is not available.
    pub fn beside(model: &Path) -> anyhow::Result<Option<Self>> {
        let folder = model.parent().unwrap_or(Path::new(""));
        let of_hugging_face = folder.join("preprocessor_config.json");
        if of_hugging_face.is_file() {
            return Self::read(&of_hugging_face).map(Some);
        }
        let of_timm = folder.join("config.json");
        if !of_timm.is_file() {
            return Ok(None);
        }
        // A config.json without preprocessing belongs to something else, and may be no JSON.
        match object(&of_timm) {
            Ok(config) if config.contains_key("pretrained_cfg") => Self::read(&of_timm).map(Some),
            _ => Ok(None),
        }
    }

    /// Reads a file of either form.
    ///
    /// # Errors
    /// Like [`PreprocessingFile::beside`]; if the file cannot be read.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let config = object(path)?;
        let read = match config.get("pretrained_cfg") {
            Some(Value::Object(timm)) => Self::of_timm(path, timm),
            Some(other) => Err(anyhow!("pretrained_cfg is {other}, expected an object")),
            None => Self::of_hugging_face(path, &config),
        };
        read.with_context(|| path.display().to_string())
    }

    fn for_channels(&self, channels: usize) -> anyhow::Result<Preprocessing> {
        let checked = self.preprocessing.check_channels(channels);
        checked.map_err(|error| anyhow!("{}: {error}", self.path.display()))?;
        Ok(self.preprocessing.clone())
    }

    /// Means and standard deviations for images of `channels` channels: those of the file, if there is one, or else the given
    /// numbers, with ImageNet's in the place of absent ones. `place` comes before `mean` and `std` in messages.
    ///
    /// # Errors
    /// If numbers are impossible, or are not one for each channel.
    pub fn or_numbers(
        file: Option<&Self>,
        mean: Option<&[f32]>,
        std: Option<&[f32]>,
        channels: usize,
        place: &str,
    ) -> anyhow::Result<Preprocessing> {
        if let Some(file) = file {
            return file.for_channels(channels);
        }
        let mean = mean.unwrap_or(&Preprocessing::IMAGENET_MEAN).to_vec();
        let std = std.unwrap_or(&Preprocessing::IMAGENET_STD).to_vec();
        Preprocessing::new(mean, std)
            .and_then(|preprocessing| preprocessing.check_channels(channels).map(|()| preprocessing))
            .map_err(|error| anyhow!("{place}{error}"))
    }

    /// Rows and columns of the network's input, if the file names them.
    pub fn side(&self) -> Option<usize> {
        self.side
    }

    /// Checks that image files, which are resized to 8/7 of `side` and cut to `side`, become what the file describes.
    ///
    /// # Errors
    /// Another side, or another size before the cut.
    pub fn check_cut(&self, side: usize) -> anyhow::Result<()> {
        let wrong = |found: String, expected: String| {
            let path = self.path.display();
            Err(anyhow!(
                "{path}: {found}, expected {expected}; a given mean and std take the place of the file"
            ))
        };
        match self.side {
            None => {}
            Some(own) if own == side => {}
            Some(own) => {
                return wrong(format!("the input has {own} x {own} pixels"), format!("{side} x {side}"));
            }
        }
        let resized = (side * 8).div_ceil(7);
        match self.resized {
            // Files round the size in different ways.
            Some(own) if (own - resized as f64).abs() <= 1.0 => Ok(()),
            Some(own) => wrong(
                format!("the shorter side is resized to {own:.0} pixels"),
                format!("{resized}, 8/7 of the input"),
            ),
            None => wrong(
                "images are not resized by their shorter side and cut".into(),
                format!("a shorter side of {resized} pixels, and the middle"),
            ),
        }
    }

    /// The choice as a sentence for people and for the checkpoint.
    pub fn sentence(&self) -> String {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        let other = self.interpolation.as_deref().filter(|name| *name != "bilinear");
        let other = other.map_or(String::new(), |name| {
            format!("; it asks for {name} interpolation, and image files are resized bilinearly")
        });
        format!("mean and std are those of {name} beside the model{other}")
    }

    fn of_hugging_face(path: &Path, config: &Map<String, Value>) -> anyhow::Result<Self> {
        let fields = Fields(config);
        for (key, value) in config {
            let known = [
                "image_mean",
                "image_std",
                "do_normalize",
                "do_rescale",
                "rescale_factor",
                "do_resize",
                "size",
                "do_center_crop",
                "crop_size",
                "resample",
                "crop_pct",
            ];
            let refused =
                ["do_pad", "do_flip_channel_order", "do_reduce_labels", "do_thumbnail", "do_align_long_axis"];
            let is_off = matches!(value, Value::Bool(false) | Value::Null);
            let ok = known.contains(&&key[..])
                || WITHOUT_MEANING.contains(&&key[..])
                || (refused.contains(&&key[..]) && is_off);
            if !ok {
                return Err(anyhow!(
                    "{key} is {value}, which is not understood; a given mean and std take the place of the file"
                ));
            }
        }
        let (mean, std) = match fields.flag("do_normalize", true)? {
            true => (fields.numbers("image_mean")?, fields.numbers("image_std")?),
            false => (vec![0.0; 3], vec![1.0; 3]),
        };
        // x = (pixel factor - mean) / std, and Preprocessing divides pixels by 255.
        let factor = match fields.flag("do_rescale", true)? {
            true => fields.number("rescale_factor")?.unwrap_or(1.0 / 255.0),
            false => 1.0,
        };
        let unit = factor * 255.0;
        if !(unit.is_finite() && unit > 0.0) {
            return Err(anyhow!("rescale_factor is {factor}, expected a positive number"));
        }
        let unit = if (unit - 1.0).abs() < 1e-6 { 1.0 } else { unit };
        let scaled = |values: Vec<f64>| values.into_iter().map(|value| (value / unit) as f32).collect();
        let preprocessing =
            Preprocessing::new(scaled(mean), scaled(std)).map_err(|error| anyhow!("image_{error}"))?;
        let crop = match fields.flag("do_center_crop", config.contains_key("crop_size"))? {
            true => fields.square("crop_size")?,
            false => None,
        };
        let size = match fields.flag("do_resize", config.contains_key("size"))? {
            true => config.get("size"),
            false => None,
        };
        let shorter = match size {
            None => None,
            Some(Value::Object(size)) => Fields(size).number("shortest_edge")?,
            Some(_) => fields.number("size")?.filter(|_| crop.is_some()),
        };
        let squashed = if shorter.is_none() && size.is_some() { fields.square("size")? } else { None };
        let resized = match (shorter, fields.number("crop_pct")?) {
            (Some(shorter), Some(share)) if crop.is_none() && share > 0.0 => Some((shorter / share).floor()),
            (Some(shorter), _) if crop.is_some() => Some(shorter),
            _ => None,
        };
        let side = crop.or(squashed).or(shorter.filter(|_| crop.is_none()).map(|shorter| shorter as usize));
        let interpolation = match config.get("resample") {
            None | Some(Value::Null) => None,
            Some(Value::Number(number)) => {
                let name = number.as_u64().and_then(|number| INTERPOLATIONS.get(number as usize));
                Some(name.ok_or_else(|| anyhow!("resample is {number}, expected 0 to 5"))?.to_string())
            }
            Some(other) => return Err(anyhow!("resample is {other}, expected 0 to 5")),
        };
        Ok(Self { path: path.into(), preprocessing, side, resized, interpolation })
    }

    fn of_timm(path: &Path, config: &Map<String, Value>) -> anyhow::Result<Self> {
        let fields = Fields(config);
        if let Some(missing) = OF_TIMM.iter().find(|key| !config.contains_key(**key)) {
            return Err(anyhow!("pretrained_cfg.{missing} is missing"));
        }
        let single = |values: Vec<f64>| values.into_iter().map(|value| value as f32).collect();
        let preprocessing =
            Preprocessing::new(single(fields.numbers("mean")?), single(fields.numbers("std")?))
                .map_err(|error| anyhow!("pretrained_cfg.{error}"))?;
        let side = match fields.numbers("input_size")?[..] {
            [_, height, width] if height == width && height >= 1.0 => height as usize,
            _ => {
                return Err(anyhow!(
                    "pretrained_cfg.input_size is not [channels, rows, columns] of a square"
                ));
            }
        };
        let share = fields.number("crop_pct")?.unwrap_or(0.875);
        let is_center = matches!(config.get("crop_mode").and_then(Value::as_str), None | Some("center"));
        let resized = (is_center && share > 0.0).then(|| (side as f64 / share).floor());
        let interpolation = config.get("interpolation").and_then(Value::as_str).map(String::from);
        Ok(Self { path: path.into(), preprocessing, side: Some(side), resized, interpolation })
    }
}

/// Reads a JSON object of bounded size.
fn object(path: &Path) -> anyhow::Result<Map<String, Value>> {
    let read = || -> anyhow::Result<Map<String, Value>> {
        let mut text = String::new();
        let file = std::fs::File::open(path)?;
        file.take(MOST_BYTES + 1).read_to_string(&mut text)?;
        if text.len() as u64 > MOST_BYTES {
            return Err(anyhow!("the file is larger than 1 MiB, expected the preprocessing of a model"));
        }
        Ok(serde_json::from_str(&text)?)
    };
    read().with_context(|| path.display().to_string())
}

/// Fields of an object with their types.
struct Fields<'a>(&'a Map<String, Value>);

impl Fields<'_> {
    fn flag(&self, key: &str, default: bool) -> anyhow::Result<bool> {
        match self.0.get(key) {
            None | Some(Value::Null) => Ok(default),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(other) => Err(anyhow!("{key} is {other}, expected true or false")),
        }
    }

    fn number(&self, key: &str) -> anyhow::Result<Option<f64>> {
        match self.0.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => match value.as_f64() {
                Some(number) => Ok(Some(number)),
                None => Err(anyhow!("{key} is {value}, expected a number")),
            },
        }
    }

    fn numbers(&self, key: &str) -> anyhow::Result<Vec<f64>> {
        let value =
            self.0.get(key).ok_or_else(|| anyhow!("{key} is missing, expected a number for each channel"))?;
        let all = value.as_array().and_then(|all| all.iter().map(Value::as_f64).collect::<Option<Vec<_>>>());
        all.ok_or_else(|| anyhow!("{key} is {value}, expected a list of numbers"))
    }

    /// The side of a square, given as a number or as height and width; `None` without the key.
    fn square(&self, key: &str) -> anyhow::Result<Option<usize>> {
        let Some(value) = self.0.get(key) else { return Ok(None) };
        let side = match value {
            Value::Object(size) => match (size.get("height"), size.get("width")) {
                (Some(height), Some(width)) if height == width => height.as_u64(),
                _ => None,
            },
            other => other.as_u64(),
        };
        match side {
            Some(side @ 1..=65_535) => Ok(Some(side as usize)),
            _ => Err(anyhow!("{key} is {value}, expected the side of a square in pixels")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> anyhow::Result<PreprocessingFile> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("preprocessor_config.json"), text).unwrap();
        Ok(PreprocessingFile::beside(&folder.path().join("model.onnx"))?.expect("the file is there"))
    }

    /// The form of Hugging Face's `microsoft/resnet-18`, with the values that torchvision uses.
    #[test]
    fn a_file_of_hugging_face_is_read() {
        let file = read(
            r#"{"do_normalize": true, "do_resize": true, "do_rescale": true, "do_center_crop": true, "crop_size": 224,
                "feature_extractor_type": "ConvNextFeatureExtractor", "image_mean": [0.485, 0.456, 0.406],
                "image_std": [0.229, 0.224, 0.225], "resample": 3, "size": {"shortest_edge": 256}}"#,
        )
        .unwrap();
        assert_eq!(file.preprocessing.mean(), Preprocessing::IMAGENET_MEAN);
        assert_eq!(file.side(), Some(224));
        file.check_cut(224).unwrap();
        let sentence = file.sentence();
        assert!(sentence.contains("bicubic"), "{sentence}");
        let error = file.check_cut(299).unwrap_err().to_string();
        assert!(error.contains("the input has 224 x 224 pixels, expected 299 x 299"), "{error}");
    }

    #[test]
    fn bytes_without_scaling_are_scaled() {
        let file = read(
            r#"{"do_rescale": false, "image_mean": [127.5, 127.5, 127.5], "image_std": [127.5, 127.5, 127.5]}"#,
        )
        .unwrap();
        assert_eq!((file.preprocessing.mean(), file.preprocessing.std()), (&[0.5; 3][..], &[0.5; 3][..]));
        let plain = read(r#"{"do_normalize": false}"#).unwrap();
        assert_eq!((plain.preprocessing.mean(), plain.preprocessing.std()), (&[0.0; 3][..], &[1.0; 3][..]));
    }

    /// The form of timm's configuration of `resnet18.a1_in1k`.
    #[test]
    fn a_file_of_timm_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let text = r#"{"architecture": "resnet18", "num_classes": 1000, "pretrained_cfg": {"tag": "a1_in1k",
            "input_size": [3, 224, 224], "interpolation": "bicubic", "crop_pct": 0.95, "crop_mode": "center",
            "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225], "first_conv": "conv1"}}"#;
        std::fs::write(folder.path().join("config.json"), text).unwrap();
        let file = PreprocessingFile::beside(&folder.path().join("m.safetensors")).unwrap().unwrap();
        assert_eq!((file.side(), file.preprocessing.std()), (Some(224), &Preprocessing::IMAGENET_STD[..]));
        let error = file.check_cut(224).unwrap_err().to_string();
        assert!(error.contains("the shorter side is resized to 235 pixels, expected 256"), "{error}");
        std::fs::write(folder.path().join("config.json"), r#"{"model_type": "resnet"}"#).unwrap();
        assert_eq!(PreprocessingFile::beside(&folder.path().join("m.safetensors")).unwrap(), None);
    }

    #[test]
    fn other_files_are_refused_by_name() {
        for (text, message) in [
            (
                r#"{"do_flip_channel_order": true, "image_mean": [0.5], "image_std": [0.5]}"#,
                "do_flip_channel_order is true",
            ),
            (r#"{"image_mean": [0.5, 0.5, 0.5]}"#, "image_std is missing"),
            (r#"{"image_mean": "x", "image_std": [1]}"#, r#"image_mean is "x", expected a list of numbers"#),
            (r#"{"image_mean": [0.5], "image_std": [0]}"#, "image_std is [0.0], expected 1 positive numbers"),
            (
                r#"{"do_rescale": 1, "image_mean": [0], "image_std": [1]}"#,
                "do_rescale is 1, expected true or false",
            ),
            (r#"{"sampling_rate": 16000}"#, "sampling_rate is 16000, which is not understood"),
            (r#"{"image_mean": [0], "image_std": [1], "crop_size": [2, 3]}"#, "crop_size is [2,3]"),
            ("[1]", "preprocessor_config.json"),
        ] {
            let error = format!("{:#}", read(text).unwrap_err());
            assert!(error.contains(message), "{error}");
        }
    }
}

//! `zerospace table1`: every number of its table against another way to it, and a campaign on the same networks.

use std::path::Path;

use graph::ModelSpec;
use safetensors::SafeTensors;

use crate::image_folder::write_classes;
use crate::program::{Numbers, float_checkpoint, succeed, zerospace};

/// Files of random weights for 3 classes, under the names that the program is to find.
pub(crate) fn write_weights(folder: &Path, networks: &[(&str, &str)]) {
    std::fs::create_dir_all(folder.join("weights")).unwrap();
    for (architecture, file) in networks {
        let side = if *architecture == "inception_v3" { 299 } else { 224 };
        let spec = ModelSpec::new(architecture, 3, [3, side, side]);
        std::fs::write(folder.join("weights").join(file), float_checkpoint(&spec)).unwrap();
    }
}

/// The cells of the row that begins with `name`.
fn row(table: &str, name: &str) -> Vec<String> {
    let cells = |line: &str| line.split('|').map(|cell| cell.trim().to_string()).collect::<Vec<_>>();
    let rows = table.lines().map(cells);
    let mut row =
        rows.into_iter().find(|row| row.get(1).is_some_and(|cell| cell == name)).unwrap_or_else(|| {
            panic!("no row {name} in {table}");
        });
    row.drain(..2);
    row.pop();
    row
}

/// Weights in the three ranges of |q| and those that in-place protection cannot store, from a file of float weights.
fn distribution(file: &Path) -> ([usize; 3], usize) {
    let bytes = std::fs::read(file).unwrap();
    let (mut ranges, mut violations) = ([0; 3], 0);
    for (_, tensor) in SafeTensors::deserialize(&bytes).unwrap().iter() {
        if tensor.shape().len() < 2 {
            continue;
        }
        let values: Vec<f32> =
            tensor.data().chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
        let scale = 127.0 / values.iter().fold(0.0, |max: f32, v| max.max(v.abs()));
        for (index, value) in values.iter().enumerate() {
            let q = (value * scale).round_ties_even() as i32;
            let range = match q.abs() {
                ..32 => 0,
                32..64 => 1,
                _ => 2,
            };
            ranges[range] += 1;
            violations += usize::from(index % 8 != 7 && !(-64..64).contains(&q));
        }
    }
    (ranges, violations)
}

fn two_decimals(part: usize, whole: usize) -> String {
    format!("{:.2}", 100.0 * part as f64 / whole as f64)
}

fn grouped(count: usize) -> String {
    match count {
        0..1000 => count.to_string(),
        _ => format!("{},{:03}", grouped(count / 1000), count % 1000),
    }
}

/// Columns of `quantize`'s table: images that are right and all images.
fn quantized(table: &str, network: &str) -> (usize, usize) {
    let row = row(table, network);
    (row[0].parse().unwrap(), row[1].parse().unwrap())
}

#[test]
fn the_table_agrees_with_the_weights_with_quantize_and_with_a_campaign() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let networks =
        [("resnet18", "resnet18-f37072fd.safetensors"), ("squeezenet1_0", "squeezenet1_0.safetensors")];
    write_weights(folder, &networks);
    let images = folder.join("data/imagenet");
    write_classes(&images.join("val"), 2, &mut Numbers(4));
    write_classes(&images.join("train"), 1, &mut Numbers(5));

    let arguments = "table1 --models resnet18,squeezenet1_0 --weights weights --images data/imagenet \
                     --first 4 --calibration 3 --out table";
    let table = succeed(folder, &arguments.split_whitespace().collect::<Vec<_>>());
    assert!(
        table.contains("Our accuracies are of the first 4 images of imagenet test.")
            && table
                .contains("Activation ranges are from imagenet train, first 3 images, largest magnitude.")
            && table.contains("Guan et al., \"In-Place Zero-Space Memory Protection for CNN\", NeurIPS 2019"),
        "{table}"
    );
    let paper = [
        ["69.76", "69.07", "99.56", "0.42", "0.02", "11,678,912"],
        ["58.09", "57.01", "95.16", "4.62", "0.22", "1,244,448"],
    ];
    let page = std::fs::read_to_string(folder.join("table/table1.md")).unwrap();
    let csv = std::fs::read_to_string(folder.join("table/table1.csv")).unwrap();
    assert!(page.contains(table.split("\n\n").next().unwrap()), "{page}");
    let header: Vec<&str> = csv.lines().next().unwrap().split(',').collect();
    let mut models = String::new();
    for (((architecture, file), paper), line) in networks.into_iter().zip(paper).zip(csv.lines().skip(1)) {
        let said = succeed(
            folder,
            &[
                "quantize",
                &format!("weights/{file}"),
                "--arch",
                architecture,
                "--set",
                "imagenet",
                "--images",
                "4",
                "--calibration-images",
                "3",
                "--throttle",
                "-o",
                &format!("{architecture}.safetensors"),
            ],
        );
        let (ranges, violations) = distribution(&folder.join("weights").join(file));
        let weights = ranges.iter().sum();
        assert!(violations > 0 && ranges.iter().all(|&n| n > 0), "{ranges:?}, {violations}");
        let [float, int8] = ["float", "int8"].map(|network| quantized(&said, network));
        let ours = [
            two_decimals(float.0, float.1),
            two_decimals(int8.0, int8.1),
            two_decimals(ranges[0], weights),
            two_decimals(ranges[1], weights),
            two_decimals(ranges[2], weights),
            grouped(weights),
        ];
        let expected = ours.iter().zip(paper).map(|(ours, paper)| format!("{ours} / {paper}"));
        let expected: Vec<String> = expected.chain([grouped(violations)]).collect();
        assert_eq!(row(&table, architecture), expected);

        // The files say where the numbers come from.
        let inspect = succeed(folder, &["inspect", &format!("{architecture}.safetensors")]);
        let hash = |from: &str| {
            let begin = inspect.find(from).unwrap();
            let hash = inspect[begin..].split_once("SHA-256 ").unwrap().1;
            hash[..64].to_string()
        };
        let [weights_hash, calibration_hash] = ["weights from", "activation ranges from"].map(hash);
        // What stands between quotation marks has commas of its own.
        let parts = line.split('"').enumerate();
        let fields = parts.flat_map(|(i, part)| match i % 2 {
            0 => part.trim_matches(',').split(',').collect::<Vec<_>>(),
            _ => vec![part],
        });
        let fields: Vec<&str> = fields.collect();
        assert_eq!(fields.len(), header.len(), "{csv}");
        let cell = |name: &str| fields[header.iter().position(|h| *h == name).unwrap()];
        assert_eq!((cell("network"), cell("weights_file")), (architecture, file));
        assert_eq!(cell("weights_sha256"), weights_hash);
        assert_eq!((cell("images"), cell("violations")), ("4", violations.to_string().as_str()));
        assert_eq!(cell("images_digest").len(), 64);
        for hash in [&weights_hash, &calibration_hash, cell("images_digest")] {
            assert!(page.contains(hash), "{page}");
        }
        models +=
            &format!("[[model]]\nlabel = \"{architecture}\"\ncheckpoint = \"{architecture}.safetensors\"\n");
    }

    // The paper's Table 2 on the same networks and images, two trials of it.
    let shape =
        std::fs::read_to_string(crate::program::root().join("experiments/table2-imagenet.toml")).unwrap();
    let (head, _) = shape.split_once("\n[[model]]").unwrap();
    let data = "[data]\nset = \"imagenet\"\nsplit = \"test\"\nimages = 4\n";
    let head = head.replace("trials = 10", "trials = 2").replace("\"table2-imagenet\"", "\"table2\"");
    std::fs::write(folder.join("table2.toml"), format!("{head}\n{models}{data}")).unwrap();
    succeed(folder, &["run", "table2.toml"]);
    let rows = records::read_trials(&folder.join("runs/table2/trials.parquet")).unwrap();
    assert_eq!(rows.len(), 2 * 4 * 4 * 2);
    assert!(rows.iter().all(|row| row.images == 4 && row.weights > 700_000));
    assert!(rows.iter().any(|row| row.rate == 1e-3 && row.record.weights_changed > 0));

    // A campaign on the network as it was quantized, not clamped, begins with the table's int8 accuracy.
    let arguments = "quantize weights/squeezenet1_0.safetensors --arch squeezenet1_0 --set imagenet --images 4 \
                     --calibration-images 3 -o squeezenet1_0.safetensors";
    succeed(folder, &arguments.split_whitespace().collect::<Vec<_>>());
    let model = "[[model]]\nlabel = \"plain\"\ncheckpoint = \"squeezenet1_0.safetensors\"\n";
    let head = head.replace(", \"in-place-64-57\"", "").replace("\"table2\"", "\"plain\"");
    std::fs::write(folder.join("plain.toml"), format!("{head}\n{model}{data}")).unwrap();
    succeed(folder, &["run", "plain.toml"]);
    let rows = records::read_trials(&folder.join("runs/plain/trials.parquet")).unwrap();
    let clean = two_decimals(rows[0].clean_correct as usize, 4);
    assert_eq!(row(&table, "squeezenet1_0")[1], format!("{clean} / 57.01"));
}

#[test]
fn the_papers_ranges_are_those_of_each_batch() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write_weights(folder, &[("squeezenet1_0", "squeezenet1_0.safetensors")]);
    write_classes(&folder.join("images/val"), 1, &mut Numbers(4));
    let table = |options: &str| {
        let command = format!("table1 --models squeezenet1_0 --weights weights --images images {options}");
        succeed(folder, &command.split_whitespace().collect::<Vec<_>>())
    };
    let dynamic = table("--activations dynamic --batch 2 --per-channel");
    assert!(
        dynamic.contains("Activation ranges are from each batch of 2 images, largest magnitude.")
            && dynamic.contains("Each output channel of our weights has a scale of its own")
            && !dynamic.contains("The protocols differ"),
        "{dynamic}"
    );
    let fixed = table("");
    assert!(fixed.contains("The protocols differ") && !fixed.contains("Each output channel"), "{fixed}");
}

#[test]
fn inception_gets_its_own_size_and_ranges_come_from_val_where_there_is_no_train() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write_weights(
        folder,
        &[
            ("inception_v3", "inception_v3_google-0cc3c7bd.safetensors"),
            ("squeezenet1_1", "squeezenet1_1.safetensors"),
        ],
    );
    write_classes(&folder.join("imagenet/val"), 1, &mut Numbers(6));
    let table = succeed(
        folder,
        &["table1", "--models", "inception_v3,squeezenet1_1", "--weights", "weights", "--images", "imagenet"],
    );
    let ranges = "imagenet test, first 3 images of all classes in turns, largest magnitude, for want of training images";
    assert!(table.contains(&format!("Activation ranges are from {ranges}.")), "{table}");
    assert!(table.contains("Inception v3 is without its auxiliary classifier"), "{table}");
    let arguments = "quantize weights/inception_v3_google-0cc3c7bd.safetensors --arch inception_v3 --set imagenet \
                     --data . --side 299 --mean 0.5,0.5,0.5 --std 0.5,0.5,0.5 --calibration-split test \
                     --calibration-images 3 -o net.safetensors";
    let said = succeed(folder, &arguments.split_whitespace().collect::<Vec<_>>());
    for (cell, (network, paper)) in [("float", "69.54"), ("int8", "68.07")].into_iter().enumerate() {
        let (correct, images) = quantized(&said, network);
        let expected = format!("{} / {paper}", two_decimals(correct, images));
        assert_eq!(row(&table, "inception_v3")[cell], expected);
    }
    // A network that the paper does not have.
    let cells = row(&table, "squeezenet1_1");
    assert!(cells[..6].iter().all(|cell| cell.ends_with(" / -")), "{table}");
}

#[test]
fn images_without_labels_measure_agreement_with_the_float_network() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write_weights(folder, &[("squeezenet1_0", "squeezenet1_0.safetensors")]);
    write_classes(&folder.join("classes"), 1, &mut Numbers(7));
    std::fs::create_dir(folder.join("images")).unwrap();
    for class in 0..3 {
        let from = folder.join(format!("classes/n0{class}/0.png"));
        std::fs::rename(from, folder.join(format!("images/{class}.png"))).unwrap();
    }
    let arguments = ["table1", "--models", "squeezenet1_0", "--weights", "weights", "--images", "images"];
    let said = zerospace(folder, &[&arguments[..], &["--out", "out"]].concat());
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert_eq!(said.stderr.matches("the images have no labels").count(), 1, "{}", said.stderr);
    let table = said.stdout;
    assert!(table.contains("| int8 agrees with float % |") && !table.contains("top-1"), "{table}");
    let arguments = "quantize weights/squeezenet1_0.safetensors --arch squeezenet1_0 --set images --data . \
                     --classes 3 --calibration-split test --calibration-images 3 -o net.safetensors";
    let (agree, images) =
        quantized(&succeed(folder, &arguments.split_whitespace().collect::<Vec<_>>()), "int8");
    assert_eq!(row(&table, "squeezenet1_0")[0], two_decimals(agree, images));
    let csv = std::fs::read_to_string(folder.join("out/table1.csv")).unwrap();
    assert!(csv.contains(",int8_agreement_percent,") && csv.contains("images test,3,,58.09,"), "{csv}");
}

#[test]
fn what_table1_cannot_measure_is_refused_in_one_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write_weights(folder, &[("squeezenet1_0", "squeezenet1_0.safetensors")]);
    let touch = |name: &str| std::fs::write(folder.join("weights").join(name), "").unwrap();
    for name in ["vgg16_bn-6c64b313.pth", "resnet18-f37072fd.pth", "resnet18.pt", "resnet18-readme.txt"] {
        touch(name);
    }
    write_classes(&folder.join("imagenet/val"), 1, &mut Numbers(8));
    std::fs::create_dir(folder.join("empty")).unwrap();
    let refused = |models: &str, images: &str, more: &[&str]| {
        let fixed = ["table1", "--models", models, "--weights", "weights", "--images", images];
        let said = zerospace(folder, &[&fixed[..], more].concat());
        assert_eq!((said.code, said.stdout.as_str()), (2, ""), "{}", said.stderr);
        said.stderr
    };
    let all = "resnet18-f37072fd.pth, resnet18.pt, squeezenet1_0.safetensors, vgg16_bn-6c64b313.pth";
    // The second is missing, and nothing is measured before that is said.
    assert_eq!(
        refused("squeezenet1_0,vgg16", "imagenet", &[]),
        format!(
            "error: weights: no weights of vgg16, expected vgg16.pth or vgg16-HASH.pth (or .pt, .th, .safetensors), \
             found {all}\n"
        )
    );
    assert!(
        refused("all", "imagenet", &[])
            .contains("no weights of alexnet, expected alexnet.pth or alexnet-owt-HASH")
    );
    assert_eq!(
        refused("resnet18", "imagenet", &[]),
        "error: weights: several files are named like weights of resnet18, expected one, found \
         resnet18-f37072fd.pth, resnet18.pt\n"
    );
    assert!(refused("vgg16_bn", "imagenet", &[]).contains("vgg16_bn-6c64b313.pth: "));
    let unknown = refused("resnet19", "imagenet", &[]);
    assert!(unknown.contains("resnet19") && unknown.contains("resnet18") && !unknown.contains("resnet20"));
    assert_eq!(
        refused("squeezenet1_0,squeezenet1_0", "imagenet", &[]),
        "error: --models names squeezenet1_0 twice, expected each network once\n"
    );
    assert_eq!(
        refused("squeezenet1_0", "empty", &[]),
        "error: empty: holds no images, expected at least one\n"
    );
    assert_eq!(
        refused("squeezenet1_0", "imagenet/val", &[]),
        "error: imagenet/val/val: no such folder, expected one that holds a folder of JPEG or PNG files for each \
         class\n"
    );
    assert_eq!(
        refused("squeezenet1_0", "imagenet", &["--first", "4"]),
        "error: imagenet/val: asked for the first 4 images, but there are 3\n"
    );
    std::fs::rename(folder.join("imagenet/val/n02"), folder.join("n02")).unwrap();
    assert_eq!(
        refused("squeezenet1_0", "imagenet", &[]),
        "error: imagenet/val holds 2 class folders, expected 3, one for each class of \
         weights/squeezenet1_0.safetensors: labels are the positions of the folders by name (or of WordNet ids, with the file of `zerospace data fetch \
         imagenet-labels`)\n"
    );
}

//! Codes by a user's parity-check matrix: the built-in ones from their matrices as text, one of another shape, and every
//! refusal.

use std::sync::Arc;

use ecc::{
    BLOCK, BlockCode, Constraint, InPlace, Kernel, LinearCode, MatrixCode, MemoryImage, OutcomeDistribution,
    ParityCheckMatrix, Protection, SecDed, StatusCounts, WordStatus, by_id, check_protection, register,
};

/// SplitMix64.
fn numbers(seed: u64) -> impl FnMut() -> u64 {
    let mut state = seed;
    move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }
}

/// The matrix of a code as text, its rows replaced by sums of rows.
fn text(code: &LinearCode) -> String {
    let rows = code.check_positions().len();
    let mut text = String::from("# a matrix\n\n");
    for row in 0..rows {
        // Each row and the one after it, but the last one alone: the same code.
        let mask = 1u16 << row | if row + 1 < rows { 1 << (row + 1) } else { 0 };
        for (i, column) in code.columns().iter().enumerate() {
            text += if i % 8 == 0 { " " } else { "" };
            text += if (column & mask).count_ones() % 2 == 1 { "1" } else { "0" };
        }
        text += "  # row\n";
    }
    text
}

fn of_text(id: &str, code: &LinearCode, weights: usize, positions: &[usize]) -> MatrixCode {
    let check_bits = code.check_positions().iter().map(|&column| positions[column]).collect();
    MatrixCode {
        id: id.into(),
        matrix: text(code).parse().unwrap(),
        corrects: code.radius(),
        weights,
        positions: Some(positions.to_vec()),
        check_bits: Some(check_bits),
    }
}

#[test]
fn built_in_codes_are_those_of_their_matrices() {
    let kernel = Kernel::fastest();
    let block = |code: BlockCode| (code.code().clone(), code.positions().to_vec(), code.id().to_owned());
    let whole = |code: LinearCode, id: &str| (code.clone(), (0..code.bits()).collect(), id.to_owned());
    let codes: Vec<(LinearCode, Vec<usize>, String)> = vec![
        whole(SecDed::code(), "secded-72-64"),
        whole(InPlace::code(), "in-place-64-57"),
        block(BlockCode::bch(kernel)),
        block(BlockCode::lsb(kernel)),
        block(BlockCode::in_place_32(kernel)),
        block(BlockCode::in_place_dected(kernel)),
        block(BlockCode::in_place_dected_narrow(kernel)),
        block(BlockCode::in_place_msb(kernel)),
    ];
    for (code, positions, id) in codes {
        let built_in = by_id(&id).unwrap();
        let own = of_text("own", &code, built_in.word().weights, &positions).protection(kernel).unwrap();
        assert_eq!((own.word(), own.constraint()), (built_in.word(), built_in.constraint()), "{id}");
        assert_eq!(own.outcome_distributions(), built_in.outcome_distributions(), "{id}");

        let mut random = numbers(7);
        let mut plane: Vec<i8> = (0..5000 * BLOCK).map(|_| random() as i8).collect();
        own.constraint().throttle(&mut plane);
        let image = |protection: &dyn Protection| {
            let mut image = MemoryImage::blank(protection.word(), plane.len());
            protection.encode_plane(&plane, &mut image);
            image
        };
        let mut stored = image(&own);
        assert!(stored == image(&*built_in), "{id}");
        let as_stored = |protection: &dyn Protection| {
            let mut plane = plane.clone();
            protection.as_stored_plane(&mut plane);
            plane
        };
        assert!(as_stored(&own) == as_stored(&*built_in), "{id}");
        // From a flip in some blocks to several in most.
        for flips in [1000, 4000, 20_000] {
            for _ in 0..flips {
                stored.flip_data(random() % stored.data_bits());
                if stored.check_bits() > 0 && random().is_multiple_of(8) {
                    stored.flip_check(random() % stored.check_bits());
                }
            }
            let read = |protection: &dyn Protection| {
                let mut read = vec![0; plane.len()];
                let counts = protection.decode(&stored, &mut read);
                let words: Vec<usize> = (0..plane.len() / protection.word().weights).collect();
                let mut statuses = vec![WordStatus::Clean; words.len()];
                let mut again = read.clone();
                protection.decode_words(&stored, &words, &mut again, &mut statuses);
                assert!(again == read);
                (read, counts, statuses)
            };
            assert!(read(&own) == read(&*built_in), "{id}");
        }
    }
}

/// SEC-DED (39,32): seven check bits beside four weights, columns of odd weight.
fn of_four() -> MatrixCode {
    let mut heavier = (0..128u16).filter(|column| column.count_ones() == 3);
    let columns: Vec<u16> = heavier.by_ref().take(32).chain((0..7).map(|j| 1 << j)).collect();
    let rows: Vec<Vec<bool>> =
        (0..7).map(|row| columns.iter().map(|column| column >> row & 1 == 1).collect()).collect();
    MatrixCode {
        id: "own-39-32".into(),
        matrix: ParityCheckMatrix::from_rows(&rows).unwrap(),
        corrects: 1,
        weights: 4,
        positions: None,
        check_bits: None,
    }
}

/// Stored word `place` of a block as bits, check bits after data bits.
fn bits_of(image: &MemoryImage, place: usize) -> u128 {
    let data = image.block(0) >> (32 * place) & 0xffff_ffff;
    u128::from(data) | u128::from(image.check_word(place, 7)) << 32
}

#[test]
fn words_of_four_weights_may_have_check_bits_beside_them() {
    let own = of_four().protection(Kernel::fastest()).unwrap();
    let code = own.code().clone();
    assert_eq!(check_protection(&own), Ok(()));
    assert_eq!(own.constraint(), Constraint::NONE);
    let weights = [-128, 7, 127, -1, 33, -64, 0, 90];
    let mut stored = MemoryImage::blank(own.word(), BLOCK);
    own.encode_block(&weights, &mut stored, 0);
    let mut counts = vec![[0u128; 3]; 4];
    for place in 0..2 {
        let word = bits_of(&stored, place);
        assert_eq!(code.encode(word), word);
        // All patterns of up to three flips, against the reference.
        for flips in std::iter::once(0).chain(patterns(39)) {
            let mut image = stored.clone();
            for bit in (0..39).filter(|bit| flips >> bit & 1 == 1) {
                match bit {
                    0..32 => image.flip_data(32 * place as u64 + bit),
                    _ => image.flip_check(7 * place as u64 + bit - 32),
                }
            }
            assert_eq!(bits_of(&image, place), word ^ u128::from(flips));
            let (expected, status) = code.decode(bits_of(&image, place));
            let mut read = [0; 4];
            assert_eq!(own.decode_word(&image, place, &mut read), status);
            assert_eq!(read, (expected as u32).to_le_bytes().map(u8::cast_signed));
            let right = read == weights[4 * place..][..4];
            let outcome = match (status, right) {
                (WordStatus::Corrected, true) => 0,
                (WordStatus::Corrected, false) => 1,
                (WordStatus::Detected, _) => 2,
                (WordStatus::Clean, _) => continue,
            };
            counts[flips.count_ones() as usize][outcome] += u128::from(place == 0);
        }
    }
    let distributions = own.outcome_distributions().unwrap();
    let [distribution]: &[OutcomeDistribution; 1] = distributions.as_slice().try_into().unwrap();
    for (flips, counted) in counts.into_iter().enumerate() {
        let outcomes = distribution.patterns()[flips];
        assert_eq!(
            counted,
            [outcomes.corrected_right, outcomes.corrected_wrong, outcomes.detected()],
            "{flips}"
        );
    }
}

#[test]
fn memories_with_any_number_of_check_bits_beside_are_read_as_their_words() {
    for (weights, rows) in (7..=16).map(|rows| (BLOCK, rows)).chain((6..=8).map(|rows| (4, rows))) {
        // Different columns correct one flip. Rows are rotated by three, so that check bit j is in row j + 3.
        let bits = 8 * weights;
        let mut data = (3..1u32 << rows).filter(|column| !column.is_power_of_two());
        let columns: Vec<u32> = data.by_ref().take(bits).chain((0..rows).map(|row| 1 << row)).collect();
        let matrix: Vec<Vec<bool>> = (0..rows)
            .map(|row| columns.iter().map(|c| c >> ((row + rows - 3) % rows) & 1 == 1).collect())
            .collect();
        let own = MatrixCode {
            id: format!("own-{weights}-{rows}"),
            matrix: ParityCheckMatrix::from_rows(&matrix).unwrap(),
            corrects: 1,
            weights,
            positions: None,
            check_bits: None,
        };
        let mut random = numbers(rows as u64);
        // Whole groups of 32 blocks and others, and a plane past the caches, which is read from an aligned address on.
        for blocks in [32, 64, 70, (5 << 20) / BLOCK] {
            for kernel in Kernel::available() {
                let own = own.protection(kernel).unwrap();
                let plane: Vec<i8> = (0..blocks * BLOCK).map(|_| random() as i8).collect();
                let mut image = MemoryImage::blank(own.word(), plane.len());
                own.encode_plane(&plane, &mut image);
                let mut read = vec![1; plane.len()];
                let words = plane.len() / weights;
                let clean = own.decode(&image, &mut read);
                assert!(
                    read == plane && clean.clean == words as u64,
                    "{rows} rows, {blocks} blocks, {kernel:?}"
                );
                for _ in 0..blocks / 16 {
                    image.flip_data(random() % image.data_bits());
                    image.flip_check(random() % image.check_bits());
                }
                let found = own.decode(&image, &mut read);
                let mut counts = StatusCounts::default();
                let mut alone = vec![2; weights];
                for (word, read) in read.chunks_exact(weights).enumerate() {
                    counts += own.decode_word(&image, word, &mut alone);
                    assert_eq!(read, alone, "word {word} of {rows} rows, {blocks} blocks, {kernel:?}");
                }
                assert_eq!((found, own.verify(&image)), (counts, counts), "{rows} rows, {blocks} blocks");
                assert!(counts.corrected > 0 && counts.clean > 0);
            }
        }
    }
}

/// Patterns of one to three flips of `bits` bits.
fn patterns(bits: u64) -> impl Iterator<Item = u64> {
    let more =
        move |pattern: u64| (0..pattern.trailing_zeros().min(bits as u32)).map(move |bit| pattern | 1 << bit);
    let one = (0..bits).map(|bit| 1 << bit);
    one.flat_map(move |one| std::iter::once(one).chain(more(one)).chain(more(one).flat_map(more)))
}

#[test]
fn check_bits_may_take_lowest_bits_and_signs_at_once_and_a_code_may_correct_nothing() {
    // Four check bits on bits 6, 5, 1 and 0 of weight 2 of eight; a parity over bits 7 and 6 of each weight.
    let bits: Vec<usize> = (0..BLOCK).flat_map(|weight| [8 * weight + 7, 8 * weight + 4]).collect();
    let positions: Vec<usize> = bits.iter().copied().chain([22, 21, 17, 16]).collect();
    let rows: Vec<Vec<bool>> = (0..4)
        .map(|row| {
            (0..positions.len())
                .map(|column| column % 4 == row && column < 16 || column == 16 + row)
                .collect()
        })
        .collect();
    let own = MatrixCode {
        id: "own-parity".into(),
        matrix: ParityCheckMatrix::from_rows(&rows).unwrap(),
        corrects: 0,
        weights: BLOCK,
        positions: Some(positions),
        check_bits: Some(vec![16, 17, 21, 22]),
    };
    let own = own.protection(Kernel::fastest()).unwrap();
    assert_eq!(check_protection(&own), Ok(()));
    assert_eq!(
        own.constraint().to_string(),
        "[-32, 31] at position 2 of each 8-byte block, any value at positions 0, 1 and 3 to 7"
    );
    assert_eq!(own.as_stored([-29; BLOCK]), [-29, -29, -32, -29, -29, -29, -29, -29]);
    assert_eq!(
        own.parameters(),
        "matrix code, 8 weights, 0 flips, bits 7 4 15 12 23 20 31 28 39 36 47 44 55 52 63 60 22 21 17 16, check bits 16-17 \
         21-22, columns 0804020108040201080402010804020108040201 due keep"
    );
    register(Arc::new(own)).unwrap();
    assert_eq!(by_id("own-parity+zero-word").unwrap().id(), "own-parity+zero-word");
}

#[test]
fn every_misfit_is_named() {
    let refused = |change: &dyn Fn(&mut MatrixCode)| {
        let mut own = of_four();
        change(&mut own);
        own.protection(Kernel::fastest()).unwrap_err().to_string()
    };
    type Change = Box<dyn Fn(&mut MatrixCode)>;
    let matrix = |text: &'static str| -> Change { Box::new(move |own| own.matrix = text.parse().unwrap()) };
    let at = |column: usize, position: usize| -> Change {
        Box::new(move |own| {
            let mut positions: Vec<usize> = (0..39).collect();
            positions[column] = position;
            own.positions = Some(positions);
        })
    };
    let checks =
        |check_bits: Vec<usize>| -> Change { Box::new(move |own| own.check_bits = Some(check_bits.clone())) };
    let cases: Vec<(Change, &str)> = vec![
        (Box::new(|own| own.weights = 2), "a word has 2 weights, expected 8 or 4"),
        (
            matrix("1\n1\n1\n1\n1\n1\n1\n1\n1"),
            "9 check bits of 4 weights are 18 of a block of 8, expected at most 16",
        ),
        (
            Box::new(|own| own.positions = Some(vec![0, 1])),
            "there are 2 positions, expected 39, one for each column of the matrix",
        ),
        (at(31, 40), "there are 8 check bits, expected 7, one for each row of the matrix"),
        (
            at(38, 70),
            "column 38 is at bit 70, expected less than 39: 4 weights of 8 bits, and the check bits beside them",
        ),
        (at(5, 3), "columns 3 and 5 are both at bit 3, expected different bits"),
        (checks(vec![32, 33]), "there are 2 check bits, expected 7, one for each row of the matrix"),
        (
            checks(vec![32, 33, 34, 35, 36, 37, 37]),
            "bit 37 is a check bit, expected bits at which the matrix has a column, each once",
        ),
        (
            checks(vec![32, 33, 34, 35, 36, 37, 6]),
            "1 of the check bits are inside the weights and 6 beside them, expected all on one side",
        ),
        (
            Box::new(|own| own.corrects = 2),
            "2 flips of 39 bits cannot be corrected by 7 check bits, which have too few syndromes, expected fewer flips",
        ),
    ];
    for (change, message) in &cases {
        assert_eq!(refused(change), *message);
    }
    let small = |text: &'static str, check_bits: [usize; 2], positions: [usize; 3]| {
        refused(&move |own| {
            own.matrix = text.parse().unwrap();
            own.weights = BLOCK;
            own.check_bits = Some(check_bits.to_vec());
            own.positions = Some(positions.to_vec());
        })
    };
    assert_eq!(
        small("110\n011", [5, 6], [7, 6, 4]),
        "bit 5 is a check bit, expected bits at which the matrix has a column, each once"
    );
    let place = |check_bits, positions| small("110\n011", check_bits, positions);
    assert_eq!(
        place([5, 14], [5, 14, 7]),
        "check bit 5 is bit 5 of weight 0, expected bit 6, bits 6 and 5, or the lowest bits up to bit 4: only these can be \
         rebuilt or spared"
    );
    assert!(place([7, 14], [7, 14, 4]).starts_with("check bit 7 is bit 7 of weight 0, "));
    assert!(place([8, 10], [8, 10, 4]).starts_with("check bit 10 is bit 2 of weight 1, "));
    assert_eq!(
        small("110\n110", [6, 14], [6, 14, 7]),
        "column 1, of a check bit, is a sum of columns of the check bits before it, expected independent columns"
    );
    assert_eq!(
        small("101\n010", [6, 14], [6, 14, 7]),
        "flips of columns [0] and of columns [2] have the same syndrome, expected different ones"
    );
    assert_eq!(
        small("100\n010", [6, 14], [6, 14, 7]),
        "flips of columns [] and of columns [2] have the same syndrome, expected different ones"
    );
}

#[test]
fn every_fault_of_a_text_is_named_with_its_line() {
    let refused = |text: &str| text.parse::<ParityCheckMatrix>().unwrap_err().to_string();
    let wide = format!("{}\n", "1".repeat(97));
    for (text, message) in [
        ("", "the matrix has no rows, expected 1 to 16"),
        ("# nothing\n\n", "the matrix has no rows, expected 1 to 16"),
        ("1 0 1\n\n1 2 1", "line 3: column 3 is '2', expected 0 or 1"),
        ("101 # first\n10", "line 2: row 1 of the matrix has 2 bits, expected 3 as row 0"),
        (&wide, "line 1: row 0 of the matrix has 97 bits, expected 1 to 96"),
        (&"1\n".repeat(17), "the matrix has 17 rows, expected at most 16, one for each check bit"),
    ] {
        assert_eq!(refused(text), message);
    }
    let matrix: ParityCheckMatrix = "  1 0\t1 # first\r\n011\r\n".parse().unwrap();
    assert_eq!((matrix.rows(), matrix.columns()), (2, [1, 2, 3].as_slice()));
    let rows = [vec![true, false, true], vec![false, true, true]];
    assert_eq!(ParityCheckMatrix::from_rows(&rows), Ok(matrix));
    assert!(
        ParityCheckMatrix::from_rows(&[[]])
            .unwrap_err()
            .to_string()
            .starts_with("row 0 of the matrix has 0 bits")
    );
}

//! Weights that `in-place-list` keeps beside its words.

use ecc::{BLOCK, Constraint, Exception, MemoryImage, MemoryLayout, Protection, WordStatus, by_id};
use proptest::prelude::*;

/// S204 of the specification.
#[test]
fn an_entry_is_its_bytes_and_what_lies_in_the_rest_does_not_matter() {
    for index in [0, 1, 255, 256, 11_699_132, u32::MAX] {
        for value in i8::MIN..=i8::MAX {
            let entry = Exception { index, value };
            let mut bytes = entry.to_bytes();
            assert_eq!(bytes[5..], [0; 3]);
            assert_eq!(Exception::from_bytes(bytes), entry);
            bytes[5..].fill(value);
            assert_eq!(Exception::from_bytes(bytes), entry);
        }
    }
    assert_eq!(Exception { index: 0x0403_02ff, value: -7 }.to_bytes(), [-1, 2, 3, 4, -7, 0, 0, 0]);
}

/// S204 and S229 of the specification.
#[test]
fn an_entry_is_a_word_of_its_code_with_single_flips_corrected_and_double_flips_kept() {
    let listed = by_id("in-place-list").unwrap();
    let code = listed.regions(&[0; BLOCK]).swap_remove(1).code.unwrap();
    let bytes = Exception { index: 1_234_567, value: -93 }.to_bytes();
    let shape = code.word();
    assert_eq!(8 * shape.weights + shape.check_bits, 72);
    let read = |bits: &[usize]| {
        let mut image = MemoryImage::blank(shape, BLOCK);
        code.encode_block(&bytes, &mut image, 0);
        for &bit in bits {
            match bit.checked_sub(64) {
                None => image.flip_data(bit as u64),
                Some(check) => image.flip_check(check as u64),
            }
        }
        let received: [i8; BLOCK] = image.block(0).to_le_bytes().map(u8::cast_signed);
        let mut read = [0; BLOCK];
        (code.decode_word(&image, 0, &mut read), read, received)
    };
    for a in 0..72 {
        let (status, found, _) = read(&[a]);
        assert_eq!((status, found), (WordStatus::Corrected, bytes), "{a}");
        for b in 0..a {
            let (status, found, received) = read(&[a, b]);
            assert_eq!((status, found), (WordStatus::Detected, received), "{a} {b}");
        }
    }
}

proptest! {
    #[test]
    fn what_in_place_protection_cannot_hold_is_clamped_and_listed(
        weights in proptest::collection::vec(any::<i8>(), 0..100),
    ) {
        let layout = MemoryLayout::new([("t", weights.len())]);
        let plane = layout.pack([&weights[..]]);
        let (listed, in_place) = (by_id("in-place-list").unwrap(), by_id("in-place").unwrap());
        let stored = |protection: &dyn Protection, plane: &[i8]| {
            let mut image = MemoryImage::blank(protection.word(), plane.len());
            protection.encode_plane(plane, &mut image);
            image
        };
        let image = stored(&*listed, &plane);
        let mut throttled = plane.clone();
        Constraint::WOT.throttle(&mut throttled);
        prop_assert_eq!(&image, &stored(&*in_place, &throttled));

        let mut read = vec![0; plane.len()];
        listed.decode(&image, &mut read);
        prop_assert_eq!(&read, &throttled);
        let regions = listed.regions(&plane);
        prop_assert_eq!(&*regions[0].bytes, &throttled[..]);
        let (entries, _) = regions[1].bytes.as_chunks::<BLOCK>();
        let list: Vec<Exception> = entries.iter().map(|entry| Exception::from_bytes(*entry)).collect();
        prop_assert_eq!(list.len(), plane.iter().zip(&read).filter(|(a, b)| a != b).count());
        prop_assert!(list.is_sorted_by_key(|entry| entry.index));
        prop_assert_eq!(regions[1].owners.clone().unwrap(), list.iter().map(|e| e.index).collect::<Vec<_>>());
        list.iter().for_each(|entry| read[entry.index as usize] = entry.value);
        prop_assert_eq!(read, plane);
        prop_assert!(listed.regions(&throttled)[1].bytes.is_empty());
    }
}

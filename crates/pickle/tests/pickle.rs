//! Tests of the parser. Most pickles are written by hand, so that they test the format and not one writer's
//! habits; `pickles/make.py` makes the pickles of NumPy arrays.

use pickle::{Array, ArrayError, Object, Pickle};

fn parse(bytes: &[u8]) -> Pickle<'_> {
    Pickle::parse(bytes, 0).unwrap()
}

#[track_caller]
fn error(ops: &[u8]) -> String {
    Pickle::parse(&[b"\x80\x02", ops].concat(), 0).unwrap_err().to_string()
}

/// The form of CIFAR's Python batches: protocol 2 by Python 2's `cPickle`, with `str` for both names and
/// bytes.
#[test]
fn reads_a_batch_of_python_2() {
    let batch = [
        &b"\x80\x02}q\x01(U\x0bbatch_labelq\x02U\x15training batch 1 of 5q\x03U\x06labelsq\x04]q\x05(K\x06K\x09M\x2c\x01e"[..],
        b"U\x04dataq\x06cnumpy.core.multiarray\n_reconstruct\nq\x07cnumpy\nndarray\nq\x08K\x00\x85U\x01b\x87Rq\x09",
        b"(K\x01K\x02K\x03\x86cnumpy\ndtype\nq\nU\x02u1K\x00K\x01\x87Rq\x0b",
        b"(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T\x06\x00\x00\x00\x00\xff\x80abctb",
        b"U\x09filenames]q\x0cU\x05a.pngq\rau.",
    ]
    .concat();
    let pickle = parse(&batch);
    let items = pickle.items(pickle.root()).unwrap();
    let value = |name: &str| items.iter().find(|(key, _)| pickle.text(*key) == Some(name)).unwrap().1;
    let Object::List(labels) = pickle.get(value("labels")) else { panic!() };
    assert_eq!(
        labels.iter().map(|&label| pickle.int(label)).collect::<Vec<_>>(),
        [Some(6), Some(9), Some(300)]
    );
    let expected = Array {
        kind: 'u',
        size: 1,
        big_endian: false,
        shape: vec![2, 3],
        fortran: false,
        data: b"\x00\xff\x80abc".into(),
    };
    assert_eq!(pickle.array(value("data")), Some(Ok(expected)));
    assert_eq!(pickle.text(value("batch_label")), Some("training batch 1 of 5"));
    assert_eq!(pickle.bytes(value("batch_label")).as_deref(), Some(&b"training batch 1 of 5"[..]));
    assert_eq!(pickle.array(value("labels")), None);
    assert_eq!(pickle.end(), batch.len());
}

#[test]
fn numpy_writes_the_same_array_at_every_protocol() {
    let data: Vec<u8> = (1..=6).flat_map(|i| (i as f32).to_le_bytes()).collect();
    for bytes in [
        &include_bytes!("pickles/array1.pkl")[..],
        include_bytes!("pickles/array2.pkl"),
        include_bytes!("pickles/array3.pkl"),
        include_bytes!("pickles/array4.pkl"),
        include_bytes!("pickles/array5.pkl"),
    ] {
        let pickle = parse(bytes);
        let array = pickle.array(pickle.root()).unwrap().unwrap();
        assert_eq!((array.kind, array.size, array.big_endian, array.fortran), ('f', 4, false, false));
        assert_eq!((array.shape.as_slice(), &*array.data), (&[2, 3][..], data.as_slice()));
        // Protocols 1 and 2 store the bytes as a text, in which four of them take two bytes each.
        assert!([24, 28].contains(&pickle.array_len(pickle.root()).unwrap()));
    }
}

#[test]
fn layout_byte_order_and_scalars_of_numpy_are_read() {
    let array = |bytes: &'static [u8]| {
        let pickle = parse(bytes);
        pickle.array(pickle.root()).unwrap()
    };
    let columns: Vec<u8> = [1.0f32, 4.0, 2.0, 5.0].iter().flat_map(|v| v.to_le_bytes()).collect();
    for bytes in [&include_bytes!("pickles/fortran4.pkl")[..], include_bytes!("pickles/fortran5.pkl")] {
        let array = array(bytes).unwrap();
        assert!(array.fortran);
        assert_eq!((array.shape.as_slice(), &*array.data), (&[2, 2][..], columns.as_slice()));
    }
    let big = array(include_bytes!("pickles/big-endian.pkl")).unwrap();
    assert_eq!((big.kind, big.size, big.big_endian, &*big.data), ('i', 2, true, &[1, 2][..]));
    let bytes = array(include_bytes!("pickles/bytes2.pkl")).unwrap();
    assert_eq!((bytes.kind, &*bytes.data), ('u', &[200, 1][..]));
    let scalar = array(include_bytes!("pickles/scalar2.pkl")).unwrap();
    assert_eq!((scalar.shape.len(), &*scalar.data), (0, &93.5f64.to_le_bytes()[..]));
    let scalar = array(include_bytes!("pickles/scalar4.pkl")).unwrap();
    assert_eq!((scalar.kind, &*scalar.data), ('i', &7i64.to_le_bytes()[..]));
    assert_eq!(array(include_bytes!("pickles/objects.pkl")), Err(ArrayError::Type));
}

#[test]
fn an_array_whose_length_disagrees_with_its_shape_is_refused() {
    let whole = include_bytes!("pickles/array4.pkl");
    let at = whole.windows(6).position(|window| window == b"K\x01K\x02K\x03").unwrap();
    for (rows, error) in [(3, ArrayError::Length), (0, ArrayError::Length)] {
        let mut bytes = whole.to_vec();
        bytes[at + 3] = rows;
        let pickle = parse(&bytes);
        assert_eq!(pickle.array(pickle.root()), Some(Err(error)));
    }
    let masked = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy.ma\nMaskedArray\ntR.";
    let pickle = parse(masked);
    assert_eq!(pickle.array(pickle.root()), Some(Err(ArrayError::Subclass)));
}

#[test]
fn reads_values_of_every_type() {
    let pickle = parse(
        b"\x80\x02(\x88\x89I01\nI00\nI-7\nL8L\nL-99999999999999999999L\nJ\xfe\xff\xff\xff\x8a\x09\0\0\0\0\0\0\0\0\x01G\x3f\xf8\0\0\0\0\0\0N\
          X\x02\0\0\0\xc3\xa4U\x01\xe4C\x02\x00\x01c_codecs\nencode\n(X\x03\0\0\0\xc3\xa4bX\x06\0\0\0latin1tRt.",
    );
    let Object::Tuple(items) = pickle.get(pickle.root()) else { panic!() };
    let shown: Vec<String> = items.iter().map(|&id| format!("{:?}", pickle.get(id))).collect();
    assert_eq!(
        shown[..12],
        [
            "Bool(true)",
            "Bool(false)",
            "Bool(true)",
            "Bool(false)",
            "Int(-7)",
            "Int(8)",
            "Digits(\"-99999999999999999999\")",
            "Int(-2)",
            "Long([0, 0, 0, 0, 0, 0, 0, 0, 1])",
            "Float(1.5)",
            "None",
            "Text(\"ä\")"
        ]
    );
    assert_eq!((pickle.text(items[12]), pickle.bytes(items[12]).as_deref()), (None, Some(&b"\xe4"[..])));
    assert_eq!(pickle.bytes(items[13]).as_deref(), Some(&[0, 1][..]));
    assert_eq!(pickle.bytes(items[14]).as_deref(), Some(&b"\xe4b"[..]));
}

#[test]
fn an_object_keeps_the_state_items_and_elements_that_it_is_given() {
    // An instance of a subclass of dict with an item and attributes, and one of a subclass of list.
    let pickle =
        parse(b"(cmine\nDict\n)\x81X\x01\0\0\0kK\x05s}X\x01\0\0\0aK\x06sbcmine\nList\n)\x81(K\x01K\x02et.");
    let Object::Tuple(both) = pickle.get(pickle.root()) else { panic!() };
    let items = pickle.items(both[0]).unwrap();
    assert_eq!((pickle.text(items[0].0), pickle.int(items[0].1)), (Some("k"), Some(5)));
    let attributes = pickle.items(pickle.state(both[0]).unwrap()).unwrap();
    assert_eq!((pickle.text(attributes[0].0), pickle.int(attributes[0].1)), (Some("a"), Some(6)));
    assert_eq!(pickle.call(both[1]), Some(("mine", "List", &[][..])));
    let Object::Call { given: Some(given), .. } = pickle.get(both[1]) else { panic!() };
    assert_eq!(given.elements.iter().map(|&id| pickle.int(id)).collect::<Vec<_>>(), [Some(1), Some(2)]);
    assert_eq!((pickle.items(both[1]), pickle.state(both[1])), (None, None));
}

#[test]
fn an_ordered_dict_becomes_a_dict() {
    for ops in [
        &b"ccollections\nOrderedDict\n)RU\x01kK\x05s."[..],
        b"ccollections\nOrderedDict\n(](](U\x01kK\x05eetR.",
    ] {
        let pickle = parse(ops);
        let Object::Dict(items) = pickle.get(pickle.root()) else { panic!() };
        assert_eq!((pickle.text(items[0].0), pickle.int(items[0].1)), (Some("k"), Some(5)));
    }
}

#[test]
fn a_malformed_pickle_is_refused_with_its_position() {
    for (ops, expected) in [
        (&b""[..], "at byte 2: the input ends too early"),
        (b"h\x07.", "at byte 2: memo entry 7 was never stored"),
        (b"j\x07\0\0\0.", "at byte 2: memo entry 7 was never stored"),
        (b".", "at byte 2: the stack is empty"),
        (b"N(.", "at byte 4: the stack is empty"),
        (b"N\x86.", "at byte 3: the stack is empty"),
        (b"t.", "at byte 2: the stack has no mark"),
        (b"q\0.", "at byte 2: the stack is empty"),
        (b"NNa.", "at byte 4: found type None, expected list"),
        (b"NNNs.", "at byte 5: found type None, expected dict"),
        (b"}(Nu.", "at byte 5: a dict is given a key without a value"),
        (b"NN\x93.", "at byte 4: found type None, expected str"),
        (b"\x80\x06.", "at byte 2: protocol is 6, expected 1..=5"),
        (b"S'a'\n.", "at byte 2: opcode 0x53 is not one of protocols 1 to 5"),
        (b"\x82\x01.", "at byte 2: opcode 0x82 is not one of protocols 1 to 5"),
        (b"I1x\n.", "at byte 2: the line is not an integer"),
        (b"LfooL\n.", "at byte 2: the line is not an integer"),
        (b"LL\n.", "at byte 2: the line is not an integer"),
        (b"\x8b\xff\xff\xff\xff.", "at byte 2: the length -1 is negative"),
        (b"\x8b\xff\xff\xff\x7f.", "at byte 2: the input ends too early"),
        (b"X\xff\xff\xff\xff.", "at byte 2: the input ends too early"),
        (b"\x8d\xff\xff\xff\xff\xff\xff\xff\xff.", "at byte 2: the input ends too early"),
        (b"X\x01\0\0\0\xff.", "at byte 2: text is not valid UTF-8"),
        (b"cos\nsystem", "at byte 2: the input ends too early"),
    ] {
        assert_eq!(error(ops), expected, "{ops:02x?}");
    }
}

#[test]
fn the_number_of_steps_is_bounded() {
    assert_eq!(error(&b"N".repeat(5_000_000)), "at byte 4194305: more than 4194304 steps");
    // Many calls copy one list of pairs; the work would be quadratic if copies cost no steps.
    let pairs = [&b"]("[..], &b"](NNe".repeat(10_000), b"e\x85q\0"].concat();
    let quadratic = [pairs, b"ccollections\nOrderedDict\nh\0R".repeat(10_000)].concat();
    assert!(error(&quadratic).ends_with("more than 4194304 steps"));
}

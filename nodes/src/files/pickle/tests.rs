#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;

fn refused(bytes: &[u8]) -> String {
    format!("{:#}", Pickle::read(bytes).unwrap_err())
}

/// A pickle of one tensor over a float storage of `len` elements; numbers below 256.
fn tensor(len: u8, offset: u8, size: &[u8], stride: &[u8]) -> Vec<u8> {
    let numbers = |list: &[u8]| [b"(".to_vec(), list.iter().flat_map(|n| [b'K', *n]).collect(), b"t".to_vec()].concat();
    let mut bytes =
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n((U\x07storagectorch\nFloatStorage\nU\x010U\x03cpuK".to_vec();
    bytes.push(len);
    bytes.extend(b"tQK");
    bytes.push(offset);
    bytes.extend([numbers(size), numbers(stride)].concat());
    bytes.extend(b"\x89NtR.");
    bytes
}

#[test]
fn reads_plain_values() {
    // {"a": [1, -2, 2.5, None, True], "b": (3,)} and a second pickle behind it.
    let bytes = b"\x80\x02}(U\x01a](K\x01J\xfe\xff\xff\xffG\x40\x04\0\0\0\0\0\0N\x88eX\x01\0\0\0bq\x05K\x03\x85u.more";
    let (pickle, length) = Pickle::read(bytes).unwrap();
    assert_eq!(&bytes[length..], b"more");
    let entries: Vec<_> = pickle.entries(pickle.root()).unwrap().collect();
    assert_eq!(entries.iter().map(|(key, _)| *key).collect::<Vec<_>>(), ["a", "b"]);
    let list = pickle.items(entries[0].1).unwrap();
    assert!(matches!(list, [Value::Int(1), Value::Int(-2), Value::Float(2.5), Value::None, Value::Bool(true)]));
    assert!(matches!(pickle.items(entries[1].1).unwrap(), [Value::Int(3)]));
}

#[test]
fn integers_of_any_length() {
    let table: [(&[u8], i64); 5] =
        [(b"\0", 0), (b"\x01\xff", -1), (b"\x02\xff\0", 255), (b"\x01\x80", -128), (b"\x03\0\0\x01", 65536)];
    for (digits, number) in table {
        let bytes = [b"\x8a", digits, b"."].concat();
        assert!(matches!(Pickle::read(&bytes).unwrap().0.root(), Value::Int(n) if *n == number), "{number}");
    }
}

#[test]
fn refuses_other_names_by_name() {
    let os = refused(b"\x80\x02cos\nsystem\nX\x02\0\0\0ls\x85R.");
    assert!(os.contains("`os.system`, which is not among the names a tensor file needs; refused unexecuted"), "{os}");
    let eval = refused(b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93.");
    assert!(eval.contains("`builtins.eval`"), "{eval}");
    assert!(refused(b"ctorch\nComplexDoubleStorage\n.").contains("`torch.ComplexDoubleStorage`"));
}

#[test]
fn tensors_lie_within_their_storage() {
    for (offset, size, stride) in
        [(0, [3, 4], [4, 1]), (0, [4, 3], [1, 4]), (4, [2, 4], [4, 1]), (0, [12, 9], [1, 0]), (9, [0, 4], [4, 1])]
    {
        assert!(Pickle::read(&tensor(12, offset, &size, &stride)).is_ok(), "{offset} {size:?} {stride:?}");
    }
    for (offset, size, stride) in [(1, [3, 4], [4, 1]), (0, [3, 4], [5, 1]), (12, [1, 1], [1, 1]), (0, [13, 1], [1, 1])]
    {
        let error = refused(&tensor(12, offset, &size, &stride));
        assert!(error.contains("does not fit its storage of 12 elements"), "{error}");
    }
    assert!(refused(&tensor(12, 0, &[3, 4], &[4])).contains("does not fit"));
    assert!(refused(&tensor(12, 0, &[1; 17], &[1; 17])).contains("17 dimensions"));
    // 255^4 elements of one number are no view to hand on.
    assert!(refused(&tensor(12, 0, &[255; 4], &[0; 4])).contains("does not fit"));
}

#[test]
fn damaged_pickles_are_errors() {
    for bytes in [
        &b""[..],
        b".",
        b"(.",
        b"}K\x01.",
        b"K",
        b"X\xff\xff\xff\x7fa.",
        b"\x8d\xff\xff\xff\xff\xff\xff\xff\xff.",
        b"h\x05.",
        b"t.",
        b"\xff.",
        b"NR.",
        b"NQ.",
        b"](K\x01u.",
        b"]Nb.",
        b"(K\x01d.",
    ] {
        let result = Pickle::read(bytes);
        // `}K\x01.` is a fine pickle with a value left over.
        assert_eq!(result.is_err(), bytes != b"}K\x01.", "{bytes:?}");
    }
}

#[test]
fn cycles_and_depth_are_no_matter() {
    // A list that holds itself.
    assert!(Pickle::read(b"]q\0h\0a.").is_ok());
    let deep = [&b"]".repeat(1_000_000)[..], &b"a".repeat(999_999), b"."].concat();
    assert!(Pickle::read(&deep).is_ok());
}

#[test]
fn copies_are_bounded() {
    // ordered dictionaries made again and again of one long list
    let pairs = b"K\x01K\x02\x86".repeat(1000);
    let again = b"h\0h\x01\x85R".repeat(1000);
    let bytes = [&b"ccollections\nOrderedDict\nq\0]q\x01("[..], &pairs, b"e", &again, b"."].concat();
    assert!(refused(&bytes).contains("copy more than the file holds"));
}

proptest! {
    #[test]
    fn nothing_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Pickle::read(&bytes);
    }

    #[test]
    fn no_mix_of_opcodes_panics(parts in proptest::collection::vec(proptest::sample::select(vec![
        &b"("[..], b"]", b"}", b")", b"K\x01", b"U\x01a", b"q\0", b"h\0", b"a", b"e", b"s", b"u", b"t", b"\x85", b"\x86", b"R", b"b", b"Q",
        b"0", b"1", b"2", b"d", b"l", b"N", b"ccollections\nOrderedDict\n", b"ctorch\nSize\n", b"ctorch\nFloatStorage\n",
        b"ctorch._utils\n_rebuild_tensor_v2\n", b"(U\x07storagectorch\nFloatStorage\nU\x010U\x03cpuK\x09tQ",
    ]), 0..40)) {
        let bytes = [&parts.concat()[..], b"."].concat();
        let _ = Pickle::read(&bytes);
    }
}

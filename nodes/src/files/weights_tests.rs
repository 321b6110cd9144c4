#![allow(clippy::unwrap_used)]
use std::io::Write;

use super::*;

/// A file of these exact bytes.
fn file(bytes: &[u8]) -> tempfile::NamedTempFile {
    let mut file = tempfile::Builder::new().suffix(".safetensors").tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file.flush().unwrap();
    file
}

/// A header in front of `data`.
fn with_header(header: &str, data: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), data].concat()
}

fn error(bytes: &[u8]) -> String {
    let file = file(bytes);
    let message = format!("{:#}", WeightsFile::open(file.path()).err().unwrap());
    assert!(message.contains(&file.path().display().to_string()), "{message}");
    message
}

fn floats(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

#[test]
fn broken_files_are_refused_with_the_reason() {
    let one = r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#;
    assert!(error(b"").contains("0 bytes"));
    assert!(error(b"1234").contains("4 bytes"));
    assert!(error(&[0xff; 64]).contains("at most 100000000"));
    assert!(error(&with_header(one, &[0; 8])[..20]).contains("but the file has 20"));
    assert!(error(&with_header(one, &[0; 7])).contains("truncated"));
    assert!(error(&with_header(one, &[0; 9])).contains("truncated or damaged"));
    assert!(error(&with_header("{\"a\":", &[])).contains("does not parse"));
    assert!(error(&with_header("[1, 2]", &[])).contains("does not parse"));
    assert!(error(&with_header(&one.replace("F32", "Q4_K"), &[0; 8])).contains("Q4_K"));
    assert!(error(&with_header(&one.replace("[2]", "[3]"), &[0; 8])).contains("safetensors"));
    assert!(error(&with_header(&one.replace("[2]", "[4611686018427387904, 8]"), &[0; 8])).contains("safetensors"));
    assert!(error(&with_header("\u{0}\u{0}", &[])).contains("does not parse"));
    assert!(error(b"PK\x03\x04 and so on").contains("pickle"));
    assert!(error(b"version https://git-lfs.github.com/spec/v1\n").contains("git lfs pull"));
}

/// 640 is 0x0280: in a file such a length begins with the two bytes of a pickle of protocol 2.
#[test]
fn a_header_as_long_as_a_pickle_begins_is_read() {
    let one = r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#;
    let file = file(&with_header(&format!("{one:640}"), &[0; 8]));
    assert!(WeightsFile::open(file.path()).unwrap().contains("a"));
    assert!(error(b"\x80\x02}q\x00(X\x01\x00").contains("pickle"));
}

#[test]
fn overlapping_tensors_and_holes_are_refused() {
    let two = |a: &str, b: &str| {
        let header = format!(
            r#"{{"a":{{"dtype":"U8","shape":[4],"data_offsets":{a}}},"b":{{"dtype":"U8","shape":[4],"data_offsets":{b}}}}}"#
        );
        with_header(&header, &[0; 8])
    };
    assert!(WeightsFile::open(file(&two("[0,4]", "[4,8]")).path()).is_ok());
    assert!(error(&two("[0,4]", "[2,6]")).contains("overlap"));
    assert!(error(&two("[0,4]", "[0,4]")).contains("overlap"));
    assert!(error(&two("[0,4]", "[6,10]")).contains("hole"));
    assert!(error(&two("[4,0]", "[4,8]")).contains("safetensors"));
    assert!(error(&two("[0,4]", "[18446744073709551612,18446744073709551615]")).contains("safetensors"));
}

#[test]
fn missing_file_is_named() {
    let message = format!("{:#}", WeightsFile::open("/nowhere/x.safetensors").err().unwrap());
    assert!(message.contains("/nowhere/x.safetensors"), "{message}");
}

#[test]
fn tensors_are_views_converted_or_copied_and_outlive_the_file() {
    let header = r#"{"m.0.w":{"dtype":"F32","shape":[2,1],"data_offsets":[0,8]},"m.1.w":{"dtype":"I64","shape":[1],"data_offsets":[8,16]}}    "#;
    // Padding decides where the data starts, and so whether it is aligned.
    for padding in 0..8 {
        let header = format!("{header}{}", " ".repeat(padding));
        let bytes = with_header(&header, &[floats(&[1.5, -2.0]), 7i64.to_le_bytes().to_vec()].concat());
        let file = file(&bytes);
        let weights = Weights::open(file.path()).unwrap();
        let stored = weights.at("m").at(0).tensor("w", &[2, 1]).unwrap();
        let half = weights.at("m").at(0).placed(Placement::cpu(Kind::Half)).tensor("w", &[2, 1]).unwrap();
        let seven = weights.at("m.1").tensor_as("w", &[1], Kind::Int64).unwrap();
        drop(weights);
        drop(file);
        assert_eq!(Vec::<f32>::try_from(stored.flatten(0, -1)).unwrap(), [1.5, -2.0]);
        assert_eq!(half.kind(), Kind::Half);
        assert_eq!(half.double_value(&[1, 0]), -2.0);
        assert_eq!(seven.int64_value(&[0]), 7);
    }
}

#[test]
fn a_write_into_a_view_does_not_reach_the_file() {
    let header = r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}      "#;
    assert_eq!((header.len() + 8) % 4, 0);
    let file = file(&with_header(header, &floats(&[1.0, 2.0])));
    let weights = Weights::open(file.path()).unwrap();
    let mut view = weights.tensor("a", &[2]).unwrap();
    assert_eq!(view.data_ptr(), weights.tensor("a", &[2]).unwrap().data_ptr(), "not a view");
    let _ = view.fill_(9.0);
    let again = Weights::open(file.path()).unwrap().tensor("a", &[2]).unwrap();
    assert_eq!(Vec::<f32>::try_from(again).unwrap(), [1.0, 2.0]);
}

#[test]
fn all_element_types_of_checkpoints_are_read() {
    let cases: [(&str, Vec<u8>, f64); 9] = [
        ("F64", 1.5f64.to_le_bytes().to_vec(), 1.5),
        ("F32", 1.5f32.to_le_bytes().to_vec(), 1.5),
        ("F16", vec![0x00, 0x3e], 1.5),
        ("BF16", vec![0xc0, 0x3f], 1.5),
        ("F8_E4M3", vec![0x3c], 1.5),
        ("F8_E5M2", vec![0x3e], 1.5),
        ("I32", (-3i32).to_le_bytes().to_vec(), -3.0),
        ("U8", vec![200], 200.0),
        ("BOOL", vec![1], 1.0),
    ];
    for (dtype, data, expected) in cases {
        let header = format!(r#"{{"x":{{"dtype":"{dtype}","shape":[],"data_offsets":[0,{}]}}}}"#, data.len());
        let file = file(&with_header(&header, &data));
        let found = Weights::open(file.path()).unwrap().tensor("x", &[]).unwrap();
        assert_eq!((found.kind(), found.double_value(&[])), (Kind::Float, expected), "{dtype}");
    }
    let header = r#"{"x":{"dtype":"U64","shape":[1],"data_offsets":[0,8]}}"#;
    let file = file(&with_header(header, &[0; 8]));
    let message = Weights::open(file.path()).unwrap().tensor("x", &[1]).unwrap_err().to_string();
    assert!(message.contains("tensor x") && message.contains("U64"), "{message}");
}

#[test]
fn a_wrong_shape_or_name_says_what_was_expected() {
    let header = r#"{"net.w":{"dtype":"U8","shape":[2,2],"data_offsets":[0,4]},"net.e":{"dtype":"F32","shape":[0,3],"data_offsets":[4,4]}}"#;
    let file = file(&with_header(header, &[1, 2, 3, 4]));
    let net = Weights::open(file.path()).unwrap().at("net");
    let message = net.tensor("w", &[4]).unwrap_err().to_string();
    assert!(message.contains("net.w") && message.contains("[2, 2]") && message.contains("[4]"), "{message}");
    assert!(net.shape("nope").unwrap_err().to_string().contains("net.nope"));
    assert_eq!(net.tensor("e", &[0, 3]).unwrap().size(), [0, 3]);
    assert!(net.dim("e", 0).is_err());
    assert_eq!(net.names(), ["e", "w"]);
    assert!(net.contains("w") && !net.contains("net.w"));
    assert!(net.at("w").is_empty() && !net.is_empty());
    assert_eq!(net.placement().device, Device::Cpu);
}

proptest::proptest! {
    #[test]
    fn damage_never_panics(position in 0usize..120, byte: u8, keep in 0usize..140) {
        let header = r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F16","shape":[1,2],"data_offsets":[8,12]}}"#;
        let mut bytes = with_header(header, &[1; 12]);
        bytes[position] = byte;
        bytes.truncate(keep);
        let file = file(&bytes);
        if let Ok(weights) = Weights::open(file.path()) {
            for name in weights.names() {
                let shape = weights.shape(&name).unwrap();
                let _ = weights.tensor(&name, &shape);
            }
        }
    }
}

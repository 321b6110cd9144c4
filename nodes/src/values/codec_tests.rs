#![allow(clippy::unwrap_used)]
//! Every type is read as it was written, to the last bit and in the same memory layout; damaged files are errors.

use std::rc::Rc;

use proptest::prelude::*;
use redraft_engine::codec::{Lasting, Parts};
use redraft_engine::cx::Identity;
use redraft_engine::io::{Socket, Value};
use redraft_engine::node::Registry;
use redraft_engine::results_file::{self, from_bytes, parts};
use redraft_engine::table::Row;

use super::*;
use crate::values::memories::{Memories, Memory};

fn to_bytes(outputs: &[Socket]) -> Option<Vec<u8>> {
    results_file::to_bytes(outputs, &Lasting::new())
}

/// A tensor of a kind, a shape and a memory layout, with any bits in it.
fn tensor(rank: impl Into<prop::collection::SizeRange>) -> impl Strategy<Value = Tensor> {
    let shape = prop::collection::vec(0i64..4, rank);
    (shape, prop::sample::select(KINDS.to_vec()), any::<u64>(), any::<bool>()).prop_map(
        |(shape, (kind, _), seed, turned)| {
            let bytes = shape.iter().product::<i64>() as usize * kind.elt_size_in_bytes();
            let mut state = seed;
            let mut next = || {
                state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                (state >> 56) as u8
            };
            // Every truth value is one byte, 0 or 1.
            let bytes: Vec<u8> = (0..bytes).map(|_| if kind == Kind::Bool { next() & 1 } else { next() }).collect();
            let tensor = Tensor::f_from_data_size(&bytes, &shape, kind).unwrap();
            let dims: Vec<i64> = (0..shape.len() as i64).rev().collect();
            if turned { tensor.permute(dims) } else { tensor }
        },
    )
}

fn float() -> impl Strategy<Value = f64> {
    any::<u64>().prop_map(f64::from_bits)
}

fn json() -> impl Strategy<Value = Json> {
    prop_oneof![any::<i64>().prop_map(Json::from), any::<bool>().prop_map(Json::from), ".{0,9}".prop_map(Json::from)]
}

fn extra() -> impl Strategy<Value = Extra> {
    prop_oneof![
        tensor(0..4).prop_map(Extra::Tensor),
        prop::collection::vec(tensor(2), 0..3).prop_map(Extra::Tensors),
        json().prop_map(Extra::Plain)
    ]
}

fn area() -> impl Strategy<Value = Area> {
    prop_oneof![
        any::<[i64; 4]>().prop_map(|[height, width, y, x]| Area::Latent { height, width, y, x }),
        [float(), float(), float(), float()].prop_map(|[height, width, y, x]| Area::Fraction { height, width, y, x })
    ]
}

fn entry() -> impl Strategy<Value = Entry> {
    use prop::option::of;
    let place = (of(area()), of(float()), of(tensor(2..4)), of(float()), of(any::<bool>()));
    let extras = prop::collection::vec((".{0,9}", extra()), 0..4);
    (tensor(3), place, of(float()), of(float()), any::<bool>(), extras).prop_map(
        |(
            cond,
            (area, strength, mask, mask_strength, set_area_to_bounds),
            start_percent,
            end_percent,
            default,
            all,
        )| {
            let mut extras = Extras::default();
            all.into_iter().for_each(|(name, extra)| extras.insert(name, extra));
            Entry {
                cond,
                area,
                strength,
                mask,
                mask_strength,
                set_area_to_bounds,
                start_percent,
                end_percent,
                default,
                control: None,
                control_for_others: false,
                grounding: None,
                extras,
            }
        },
    )
}

fn memories() -> impl Strategy<Value = Memories> {
    prop::collection::vec((float(), tensor(4)), 0..3).prop_map(|all| {
        let memory = |(sigma, carried)| Rc::new(Memory { sigma, carried });
        // Only one identity can be had outside of a run.
        Memories::default().with(all.into_iter().map(memory).map(|memory| (Identity::default(), memory)))
    })
}

fn latent() -> impl Strategy<Value = Latent> {
    let places = prop::option::of(prop::collection::vec(any::<i64>(), 0..4));
    (tensor(3..6), prop::option::of(tensor(2..5)), places, memories())
        .prop_map(|(samples, noise_mask, batch_index, memories)| Latent { samples, noise_mask, batch_index, memories })
}

fn operation() -> impl Strategy<Value = LatentOperation> {
    prop_oneof![
        float().prop_map(|multiplier| LatentOperation::Reinhard { multiplier }),
        (any::<i64>(), float(), float()).prop_map(|(radius, sigma, alpha)| LatentOperation::Sharpen {
            radius,
            sigma,
            alpha
        })
    ]
}

/// A value of each type that is data.
fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        tensor(4).prop_map(|tensor| Value::wire(Image(tensor))),
        tensor(2..5).prop_map(|tensor| Value::wire(Mask(tensor))),
        tensor(3).prop_map(|tensor| Value::wire(ClipVisionOutput::of(tensor))),
        (tensor(3), tensor(3), tensor(2), tensor(3)).prop_map(|(penultimate, last, embeds, projected)| {
            let (last, embeds, projected) = (Some(last), Some(embeds), Some(projected));
            Value::wire(ClipVisionOutput { penultimate, last, embeds, projected })
        }),
        latent().prop_map(Value::wire),
        (tensor(3), 1..i64::MAX).prop_map(|(waveform, sample_rate)| Value::wire(Audio { waveform, sample_rate })),
        prop::collection::vec(entry(), 0..3).prop_map(|entries| Value::wire(Conditioning(entries))),
        prop::collection::vec(any::<u32>().prop_map(f32::from_bits), 0..9)
            .prop_map(|levels| Value::wire(Sigmas(levels))),
        prop::collection::vec(".{0,20}", 0..3).prop_map(|texts| Value::wire(Svg(texts.into()))),
        (float(), float()).prop_map(|(start, end)| Value::wire(TimestepsRange { start, end })),
        prop::option::of(any::<u64>())
            .prop_map(|seed| Value::wire(seed.map_or(NoiseChoice::Disabled, NoiseChoice::Random))),
        operation().prop_map(Value::wire),
    ]
}

/// The parts of all values: they are equal where the values are, to the last bit and in their layout.
fn all_parts(outputs: &[Socket]) -> Vec<Vec<Option<Parts<'static>>>> {
    outputs.iter().map(|socket| socket.iter().map(parts).collect()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_value_is_read_as_it_was_written(values in prop::collection::vec(value(), 1..3)) {
        let outputs: Vec<Socket> = vec![values.into(), Socket::from([])];
        let bytes = to_bytes(&outputs).unwrap();
        prop_assert_eq!(all_parts(&from_bytes(&bytes).unwrap()), all_parts(&outputs));
    }

    #[test]
    fn a_tensor_keeps_its_layout(tensor in tensor(0..6)) {
        let bytes = to_bytes(&[[Value::wire(Svg(Rc::from([]))), Value::wire(Latent::new(tensor.shallow_clone()))].into()]);
        let read = from_bytes(&bytes.unwrap()).unwrap();
        let read: &Latent = read[0][1].downcast().unwrap();
        prop_assert_eq!(read.samples.size(), tensor.size());
        prop_assert_eq!(read.samples.kind(), tensor.kind());
        if tensor.numel() > 0 {
            prop_assert_eq!(order(&read.samples), order(&tensor));
            let (one, two) = (read.samples.to_kind(Kind::Double), tensor.to_kind(Kind::Double));
            prop_assert!(one.eq_tensor(&two).logical_or(&one.isnan().logical_and(&two.isnan())).all() == Tensor::from(true));
        }
    }

    #[test]
    fn damaged_bytes_never_panic(
        value in value(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut bytes = to_bytes(&[[value].into()]).unwrap();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        if let Ok(read) = from_bytes(&bytes) {
            prop_assert!(to_bytes(&read).is_some());
        }
    }
}

/// A value of a known type whose parts are another's.
#[test]
fn parts_of_another_type_are_an_error() {
    let image =
        to_bytes(&[[Value::wire(Image(Tensor::zeros([1, 1, 1, 3], (Kind::Float, Device::Cpu))))].into()]).unwrap();
    let at = image.windows(5).position(|bytes| bytes == b"IMAGE").unwrap();
    let called = |name: &[u8; 5]| {
        let mut bytes = image.clone();
        bytes[at..at + 5].copy_from_slice(name);
        from_bytes(&bytes).unwrap_err().to_string()
    };
    assert_eq!(called(b"MODEL"), "part 'outputs/0/0/value' is of type MODEL, which is never written");
    assert_eq!(called(b"FLOAT"), "part 'outputs/0/0/value' is a blob, and JSON is wanted");
    assert_eq!(called(b"IMAGO"), "part 'outputs/0/0' is of type IMAGO, which is not known");
}

/// Every type that an output of a node here has can be read, or is known to be a recipe. Colours are texts, and boxes JSON.
#[test]
fn every_type_on_a_wire_is_known() {
    let registry = Registry::linked().unwrap();
    let outputs = registry.iter().flat_map(|class| &class.schema.outputs);
    let unknown: Vec<_> = outputs
        .map(|output| output.ty.as_str())
        .filter(|ty| {
            !matches!(*ty, "*" | "COMBO" | "COMFY_MATCHTYPE_V3" | "COLOR" | "BOUNDING_BOX")
                && WireType::find(ty).is_none()
        })
        .collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}

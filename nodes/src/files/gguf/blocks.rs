//! Weights in blocks: a few numbers of some bits each, which share a scale.
//!
//! Formats: ggml's (<https://github.com/ggml-org/ggml>, `ggml-common.h`). Every step is rounded to the element type that is asked for, as
//! ComfyUI-GGUF does.

use tch::{Kind, Tensor};

/// A format of blocks.
#[derive(Debug)]
pub(crate) struct BlockKind {
    /// What ggml calls it: `Q4_K`.
    name: &'static str,
    /// ggml's number for it.
    pub(super) id: u32,
    /// Numbers in a block.
    pub(super) elements: u64,
    /// Bytes of a block.
    pub(super) bytes: u64,
    unpack: fn(&Blocks) -> Tensor,
}

/// The formats that can be read.
const KINDS: &[BlockKind] = &[
    row("Q4_0", 2, 32, 18, q4_0),
    row("Q4_1", 3, 32, 20, q4_1),
    row("Q5_0", 6, 32, 22, q5_0),
    row("Q5_1", 7, 32, 24, q5_1),
    row("Q8_0", 8, 32, 34, q8_0),
    row("Q2_K", 10, 256, 84, q2_k),
    row("Q3_K", 11, 256, 110, q3_k),
    row("Q4_K", 12, 256, 144, q4_k),
    row("Q5_K", 13, 256, 176, q5_k),
    row("Q6_K", 14, 256, 210, q6_k),
    row("IQ4_NL", 20, 32, 18, iq4_nl),
    row("IQ4_XS", 23, 256, 136, iq4_xs),
];

const fn row(name: &'static str, id: u32, elements: u64, bytes: u64, unpack: fn(&Blocks) -> Tensor) -> BlockKind {
    BlockKind { name, id, elements, bytes, unpack }
}

/// The numbers that the IQ4 formats choose from.
const IQ4_VALUES: [i8; 16] = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];

impl BlockKind {
    /// The format that ggml has this number for.
    pub(super) fn of(id: u32) -> Option<&'static Self> {
        KINDS.iter().find(|kind| kind.id == id)
    }

    /// The format of this name.
    #[cfg(test)]
    pub(super) fn named(name: &str) -> Option<&'static Self> {
        KINDS.iter().find(|kind| kind.name == name)
    }

    /// The names of all formats.
    pub(super) fn names() -> String {
        KINDS.iter().map(|kind| kind.name).collect::<Vec<_>>().join(", ")
    }

    /// The numbers of blocks, which are bytes of any shape: n×elements, each step rounded to `kind`, a float.
    pub(crate) fn unpack(&self, bytes: &Tensor, kind: Kind) -> Tensor {
        let bytes = bytes.reshape([-1, self.bytes as i64]);
        let count = bytes.size()[0];
        (self.unpack)(&Blocks { bytes, kind }).reshape([count, self.elements as i64])
    }
}

/// Blocks, n×bytes, and what to compute in.
struct Blocks {
    bytes: Tensor,
    kind: Kind,
}

impl Blocks {
    fn count(&self) -> i64 {
        self.bytes.size()[0]
    }

    /// `length` bytes of each block from `at` on.
    fn part(&self, at: i64, length: i64) -> Tensor {
        self.bytes.narrow(1, at, length)
    }

    /// The float16 at `at` of each block, n×1.
    fn half(&self, at: i64) -> Tensor {
        self.part(at, 2).contiguous().view_dtype(Kind::Half).to_kind(self.kind)
    }

    fn shifts(&self, bits: &[u8]) -> Tensor {
        Tensor::from_slice(bits).to_device(self.bytes.device()).view([1, 1, -1, 1])
    }

    /// Numbers of a few bits out of bytes: groups of `width` bytes, for each group all its numbers at the first place in `shifts`, then
    /// all at the second, and so on; n×groups·shifts×width.
    fn spread(&self, bytes: &Tensor, width: i64, shifts: &[u8], mask: i64) -> Tensor {
        let groups = bytes.reshape([self.count(), -1, 1, width]);
        groups.bitwise_right_shift(&self.shifts(shifts)).bitwise_and(mask).reshape([self.count(), -1, width])
    }

    /// The 32 numbers of 4 bits in 16 bytes from `at` on, n×32.
    fn nibbles(&self, at: i64) -> Tensor {
        self.spread(&self.part(at, 16), 16, &[0, 4], 15).reshape([-1, 32])
    }

    /// The 32 single bits of 4 bytes from `at` on, n×32, each worth 16.
    fn fifth_bits(&self, at: i64) -> Tensor {
        let bytes = self.part(at, 4).unsqueeze(-1);
        let shifts = self.shifts(&[0, 1, 2, 3, 4, 5, 6, 7]).view([1, 1, 8]);
        let bits = bytes.bitwise_right_shift(&shifts).bitwise_and(1).reshape([-1, 32]);
        bits.bitwise_left_shift_tensor_scalar(4)
    }

    /// The scales and minima of 8 groups in the 12 bytes from `at` on, 6 bits each, both n×8.
    fn scales_and_minima(&self, at: i64) -> (Tensor, Tensor) {
        let [low, minima, both] = [0, 4, 8].map(|from| self.part(at + from, 4));
        let right = |bytes: &Tensor, by: i64| bytes.bitwise_right_shift_tensor_scalar(by);
        let upper = |bytes: &Tensor| right(bytes, 2).bitwise_and(0x30);
        let scales = [low.bitwise_and(0x3F), both.bitwise_and(0x0F).bitwise_or_tensor(&upper(&low))];
        let least = [minima.bitwise_and(0x3F), right(&both, 4).bitwise_or_tensor(&upper(&minima))];
        (Tensor::cat(&scales, 1), Tensor::cat(&least, 1))
    }
}

/// Unsigned numbers as signed ones around 0.
fn centred(numbers: &Tensor, middle: i64) -> Tensor {
    numbers.to_kind(Kind::Int8) - middle
}

fn q4_0(blocks: &Blocks) -> Tensor {
    blocks.half(0) * centred(&blocks.nibbles(2), 8)
}

fn q4_1(blocks: &Blocks) -> Tensor {
    blocks.half(0) * blocks.nibbles(4) + blocks.half(2)
}

fn q5_0(blocks: &Blocks) -> Tensor {
    blocks.half(0) * centred(&blocks.nibbles(6).bitwise_or_tensor(&blocks.fifth_bits(2)), 16)
}

fn q5_1(blocks: &Blocks) -> Tensor {
    blocks.half(0) * blocks.nibbles(8).bitwise_or_tensor(&blocks.fifth_bits(4)) + blocks.half(2)
}

fn q8_0(blocks: &Blocks) -> Tensor {
    blocks.half(0) * blocks.part(2, 32).contiguous().view_dtype(Kind::Int8)
}

fn q2_k(blocks: &Blocks) -> Tensor {
    let (scales, numbers) = (blocks.part(0, 16), blocks.part(16, 64));
    let scale = (blocks.half(80) * scales.bitwise_and(15)).unsqueeze(-1);
    let least = (blocks.half(82) * scales.bitwise_right_shift_tensor_scalar(4)).unsqueeze(-1);
    scale * blocks.spread(&numbers, 32, &[0, 2, 4, 6], 3).reshape([-1, 16, 16]) - least
}

fn q3_k(blocks: &Blocks) -> Tensor {
    let (upper, lower) = (blocks.part(0, 32), blocks.part(32, 64));
    // Of 6 bits of each scale, 8 bytes hold the lower 4, and 4 bytes the upper 2.
    let low = blocks.spread(&blocks.part(96, 8), 8, &[0, 4], 15).reshape([-1, 16]);
    let high = blocks.spread(&blocks.part(104, 4), 4, &[0, 2, 4, 6], 3).reshape([-1, 16]);
    let scales = low.bitwise_or_tensor(&high.bitwise_left_shift_tensor_scalar(4));
    let scale = (blocks.half(108) * centred(&scales, 32)).unsqueeze(-1);
    let lower = blocks.spread(&lower, 32, &[0, 2, 4, 6], 3).to_kind(Kind::Int8);
    // A bit that is not set takes 4 away.
    let upper = blocks.spread(&upper, 32, &[0, 1, 2, 3, 4, 5, 6, 7], 1).bitwise_xor(1).to_kind(Kind::Int8);
    scale * (lower - upper.bitwise_left_shift_tensor_scalar(2)).reshape([-1, 16, 16])
}

fn q4_k(blocks: &Blocks) -> Tensor {
    of_eight_groups(blocks, &blocks.spread(&blocks.part(16, 128), 32, &[0, 4], 15))
}

fn q5_k(blocks: &Blocks) -> Tensor {
    let lower = blocks.spread(&blocks.part(48, 128), 32, &[0, 4], 15);
    let upper = blocks.spread(&blocks.part(16, 32), 32, &[0, 1, 2, 3, 4, 5, 6, 7], 1);
    of_eight_groups(blocks, &lower.bitwise_or_tensor(&upper.bitwise_left_shift_tensor_scalar(4)))
}

/// Numbers n×8×32 with a scale and a minimum for each of the 8 groups.
fn of_eight_groups(blocks: &Blocks, numbers: &Tensor) -> Tensor {
    let (scales, minima) = blocks.scales_and_minima(4);
    let [scale, least] = [(0, scales), (2, minima)].map(|(at, each)| (blocks.half(at) * each).unsqueeze(-1));
    scale * numbers - least
}

fn q6_k(blocks: &Blocks) -> Tensor {
    let scales = blocks.part(192, 16).contiguous().view_dtype(Kind::Int8).to_kind(blocks.kind);
    let scale = (blocks.half(208) * scales).unsqueeze(-1);
    let lower = blocks.spread(&blocks.part(0, 128), 64, &[0, 4], 15).reshape([-1, 8, 32]);
    let upper = blocks.spread(&blocks.part(128, 64), 32, &[0, 2, 4, 6], 3);
    let numbers = lower.bitwise_or_tensor(&upper.bitwise_left_shift_tensor_scalar(4));
    scale * centred(&numbers, 32).reshape([-1, 16, 16])
}

/// The numbers that choices of 4 bits stand for, in their shape.
fn chosen(choices: &Tensor) -> Tensor {
    let values = Tensor::from_slice(&IQ4_VALUES).to_device(choices.device());
    values.take(&choices.to_kind(Kind::Int64))
}

fn iq4_nl(blocks: &Blocks) -> Tensor {
    blocks.half(0) * chosen(&blocks.nibbles(2))
}

fn iq4_xs(blocks: &Blocks) -> Tensor {
    let n = blocks.count();
    // Of 6 bits of each of 8 scales, 2 bytes hold the upper 2, and 4 bytes the lower 4.
    let upper = blocks.part(2, 2).unsqueeze(-1).bitwise_right_shift(&blocks.shifts(&[0, 2, 4, 6]).view([1, 1, 4]));
    let lower = blocks.part(4, 4).unsqueeze(-1).bitwise_right_shift(&blocks.shifts(&[0, 4]).view([1, 1, 2]));
    let upper = upper.bitwise_and(3).reshape([n, 8]).bitwise_left_shift_tensor_scalar(4);
    let scales = lower.bitwise_and(15).reshape([n, 8]).bitwise_or_tensor(&upper);
    let scale = (blocks.half(0) * centred(&scales, 32).to_kind(blocks.kind)).unsqueeze(-1);
    scale * chosen(&blocks.spread(&blocks.part(8, 128), 16, &[0, 4], 15).reshape([n, 8, 32]))
}

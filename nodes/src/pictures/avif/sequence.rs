//! What a stream of AV1 says of its colours: the beginning of its sequence header, as far as that (AV1 specification, 5.5).

use super::Meaning;

const SEQUENCE_HEADER: u8 = 1;
/// Colours of which nothing is said.
const UNSPECIFIED: u16 = 2;

/// What the first sequence header in a piece of a stream says; nothing if there is none.
pub(super) fn meaning(mut stream: &[u8]) -> Option<Meaning> {
    while let [head, rest @ ..] = stream {
        let (extended, sized) = (head & 4 != 0, head & 2 != 0);
        let rest = rest.get(usize::from(extended)..)?;
        let (size, rest) = if sized { length(rest)? } else { (rest.len(), rest) };
        let content = rest.get(..size)?;
        if head >> 3 & 15 == SEQUENCE_HEADER {
            return header(&mut Bits { bytes: content, at: 0 });
        }
        stream = rest.get(size..)?;
    }
    None
}

/// A length in groups of seven bits, the lowest first, and what follows it.
fn length(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut value = 0_u64;
    for (place, byte) in bytes.iter().take(8).enumerate() {
        value |= u64::from(byte & 0x7F) << (7 * place);
        if byte & 0x80 == 0 {
            return Some((usize::try_from(value).ok()?, &bytes[place + 1..]));
        }
    }
    None
}

fn header(bits: &mut Bits) -> Option<Meaning> {
    let profile = bits.take(3)?;
    bits.skip(1)?;
    let reduced = bits.flag()?;
    if reduced {
        bits.skip(5)?;
    } else {
        timing(bits)?;
    }
    let (wide, high) = (bits.take(4)? + 1, bits.take(4)? + 1);
    bits.skip(wide + high)?;
    if !reduced && bits.flag()? {
        bits.skip(4 + 3)?;
    }
    bits.skip(3)?;
    if !reduced {
        tools(bits)?;
    }
    bits.skip(3)?;
    colours(bits, profile)
}

/// Times and operating points.
fn timing(bits: &mut Bits) -> Option<()> {
    let mut delay_bits = None;
    if bits.flag()? {
        bits.skip(32 + 32)?;
        if bits.flag()? {
            let zeros = (0..32).take_while(|_| bits.flag() == Some(false)).count();
            bits.skip(zeros as u32)?;
        }
        if bits.flag()? {
            delay_bits = Some(bits.take(5)? + 1);
            bits.skip(32 + 5 + 5)?;
        }
    }
    let display_delay = bits.flag()?;
    for _ in 0..=bits.take(5)? {
        bits.skip(12)?;
        if bits.take(5)? > 7 {
            bits.skip(1)?;
        }
        if let Some(delay_bits) = delay_bits
            && bits.flag()?
        {
            bits.skip(2 * delay_bits + 1)?;
        }
        if display_delay && bits.flag()? {
            bits.skip(4)?;
        }
    }
    Some(())
}

/// What pictures may make use of.
fn tools(bits: &mut Bits) -> Option<()> {
    bits.skip(4)?;
    let order = bits.flag()?;
    if order {
        bits.skip(2)?;
    }
    // Whether each picture chooses, or what holds for all.
    let screen_content = bits.flag()? || bits.flag()?;
    if screen_content && !bits.flag()? {
        bits.skip(1)?;
    }
    if order { bits.skip(3) } else { Some(()) }
}

fn colours(bits: &mut Bits, profile: u32) -> Option<Meaning> {
    let deep = bits.flag()?;
    if profile == 2 && deep {
        bits.skip(1)?;
    }
    let grey = profile != 1 && bits.flag()?;
    let (mut primaries, mut transfer, mut matrix) = (UNSPECIFIED, UNSPECIFIED, UNSPECIFIED);
    if bits.flag()? {
        [primaries, transfer, matrix] = [bits.take(8)? as u16, bits.take(8)? as u16, bits.take(8)? as u16];
    }
    // sRGB without a matrix always uses all of the range.
    let full = (!grey && (primaries, transfer, matrix) == (1, 13, 0)) || bits.flag()?;
    Some(Meaning { primaries, matrix, full })
}

/// Bits, the highest of each byte first.
struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    fn flag(&mut self) -> Option<bool> {
        let byte = self.bytes.get(self.at / 8)?;
        let flag = byte >> (7 - self.at % 8) & 1 == 1;
        self.at += 1;
        Some(flag)
    }

    /// A number of at most 32 bits.
    fn take(&mut self, count: u32) -> Option<u32> {
        (0..count).try_fold(0, |value, _| Some(value << 1 | u32::from(self.flag()?)))
    }

    fn skip(&mut self, count: u32) -> Option<()> {
        self.at += count as usize;
        (self.at <= 8 * self.bytes.len()).then_some(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// The media data of files that avifenc wrote with what their names say.
    #[test]
    fn headers_say_what_the_encoder_was_told() {
        let of = |name: &str| {
            let path = format!("{}/src/pictures/testdata/{name}", env!("CARGO_MANIFEST_DIR"));
            let bytes = std::fs::read(path).unwrap();
            let at = bytes.windows(4).position(|window| window == b"mdat").unwrap() + 4;
            meaning(&bytes[at..]).unwrap()
        };
        assert_eq!(of("rgb-444-8-709.avif"), Meaning { primaries: 1, matrix: 1, full: false });
        assert_eq!(of("rgb-420-12-709.avif"), Meaning { primaries: 1, matrix: 1, full: false });
        assert_eq!(of("rgb-444-full.avif"), Meaning { primaries: 1, matrix: 6, full: true });
        assert_eq!(of("matrix-4-420.avif"), Meaning { primaries: 1, matrix: 4, full: false });
        assert_eq!(of("anim.avif"), Meaning { primaries: UNSPECIFIED, matrix: UNSPECIFIED, full: true });
    }

    #[test]
    fn what_is_no_header_says_nothing() {
        assert_eq!(meaning(&[]), None);
        assert_eq!(meaning(&[0x0A]), None);
        assert_eq!(meaning(&[0x0A, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80]), None);
        assert_eq!(meaning(&[0x0A, 3, 0, 0, 0]), None);
    }
}

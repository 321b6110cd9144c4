//! Ogg with Opus, Vorbis or FLAC: the comments are the second packet of the stream.

use super::bytes::Bytes;
use super::{Texts, flac, vorbis};

/// How many packets from the beginning are looked at.
const MAX_PACKETS: usize = 8;

pub(super) fn recognise(bytes: &[u8]) -> bool {
    bytes.starts_with(b"OggS")
}

/// Puts the first stream's packets together, page by page, until one holds comments.
pub(super) fn texts(bytes: &[u8]) -> Texts {
    let mut found = Texts::default();
    let mut rest = Bytes(bytes);
    let (mut stream, mut packet, mut packets) = (None, Vec::new(), 0);
    while packets < MAX_PACKETS {
        let Some((serial, lengths, mut data)) = page(&mut rest) else {
            found.cut_off();
            break;
        };
        if *stream.get_or_insert(serial) != serial {
            continue;
        }
        for length in lengths {
            let Some(segment) = data.take(usize::from(*length)) else { break };
            packet.extend_from_slice(segment);
            // A packet ends with the first segment that is not full.
            if *length < u8::MAX {
                packets += 1;
                if comments(&packet, &mut found) {
                    return found;
                }
                packet.clear();
            }
        }
    }
    found
}

/// One page: the stream's number, the segments' lengths, the segments.
fn page<'a>(rest: &mut Bytes<'a>) -> Option<(usize, &'a [u8], Bytes<'a>)> {
    let header = rest.take(27)?;
    if !header.starts_with(b"OggS") {
        return None;
    }
    let serial = Bytes(&header[14..]).little(4)?;
    let lengths = rest.take(usize::from(header[26]))?;
    let data = rest.take(lengths.iter().map(|length| usize::from(*length)).sum())?;
    Some((serial, lengths, Bytes(data)))
}

fn comments(packet: &[u8], found: &mut Texts) -> bool {
    let tags = [&b"OpusTags"[..], b"\x03vorbis"].iter().find_map(|prefix| packet.strip_prefix(*prefix));
    // In Ogg, a block of FLAC's metadata is a packet, with its header of four bytes.
    let block = || packet.get(4..).filter(|_| usize::from(packet[0]) & 0x7f == flac::COMMENTS);
    let Some(tags) = tags.or_else(block) else { return false };
    vorbis::comments(tags, found);
    true
}

//! Vorbis comments, the tags of FLAC and Ogg files: `KEYWORD=text`.

use super::Texts;
use super::bytes::Bytes;

pub(super) fn comments(block: &[u8], found: &mut Texts) {
    if read(block, found).is_none() {
        found.problem("the file's tags are cut off");
    }
}

fn read(block: &[u8], found: &mut Texts) -> Option<()> {
    let mut rest = Bytes(block);
    let vendor = rest.little(4)?;
    rest.take(vendor)?;
    for _ in 0..rest.little(4)? {
        let length = rest.little(4)?;
        let comment = rest.take(length)?;
        if let Some(equals) = comment.iter().take(16).position(|b| *b == b'=')
            && let Ok(keyword) = std::str::from_utf8(&comment[..equals])
        {
            found.keep(keyword, &comment[equals + 1..]);
        }
    }
    Some(())
}

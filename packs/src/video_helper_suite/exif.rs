use chrono::NaiveDateTime;

/// EXIF data that say when a picture was taken, in the order of bytes of a small machine: a directory that leads to a second one, in which
/// the time stands.
pub(super) fn time_taken(time: NaiveDateTime) -> Vec<u8> {
    /// The tag of the second directory's place, and that of the time.
    const SECOND: u16 = 0x8769;
    const TAKEN: u16 = 0x9003;
    /// Types of values: text, and a number of 32 bits.
    const TEXT: u16 = 2;
    const LONG: u16 = 4;
    /// A directory of one entry: how many there are, the entry, and that no other directory follows.
    const DIRECTORY: u32 = 2 + 12 + 4;
    const HEADER: u32 = 8;
    let text = time.format("%Y-%m-%d %H:%M:%S\0").to_string();
    let directory = |tag: u16, ty: u16, count: u32, value: u32| {
        let entry = [&1u16.to_le_bytes()[..], &tag.to_le_bytes(), &ty.to_le_bytes(), &count.to_le_bytes()].concat();
        [&entry[..], &value.to_le_bytes(), &[0; 4]].concat()
    };
    let first = directory(SECOND, LONG, 1, HEADER + DIRECTORY);
    let second = directory(TAKEN, TEXT, text.len() as u32, HEADER + 2 * DIRECTORY);
    [b"II*\0\x08\0\0\0", &first[..], &second, text.as_bytes()].concat()
}

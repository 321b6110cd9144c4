//! One scan of a JPEG file: from bits to coefficients (ITU-T T.81, annexes F and G).

use anyhow::{Context, Result, bail, ensure};

use super::huffman::{Bits, Table};
use super::{Picture, TRUNCATED, Tables};

const DAMAGED: &str = "is a damaged jpeg file: export it again";

/// Which coefficients a scan holds, and which of their bits.
#[derive(Clone, Copy)]
struct Pass {
    progressive: bool,
    first: usize,
    last: usize,
    refines: bool,
    low_bit: u32,
}

struct ScanComponent<'a> {
    index: usize,
    dc: Option<&'a Table>,
    ac: Option<&'a Table>,
}

/// Decodes one scan into the picture.
///
/// # Returns
/// The length of the scan's data.
///
/// # Errors
/// If the data is damaged or ends before the scan does.
pub(super) fn decode(picture: &mut Picture, tables: &Tables, header: &[u8], data: &[u8]) -> Result<usize> {
    let (components, pass) = read_header(picture, tables, header)?;
    let mut state = State { bits: Bits::new(data), previous_dc: [0; 4], end_of_band: 0 };
    let alone = components.len() == 1;
    let (columns, rows) = if alone {
        let only = &picture.components[components[0].index];
        (only.real_columns, only.real_rows)
    } else {
        let only = &picture.components[0];
        (only.block_columns / only.horizontal, only.block_rows / only.vertical)
    };
    for unit in 0..columns * rows {
        if tables.restart_interval > 0 && unit > 0 && unit % tables.restart_interval == 0 {
            state.bits.restart()?;
            (state.previous_dc, state.end_of_band) = ([0; 4], 0);
        }
        let (column, row) = (unit % columns, unit / columns);
        for scanned in &components {
            let component = &picture.components[scanned.index];
            let (wide, high) = if alone { (1, 1) } else { (component.horizontal, component.vertical) };
            for y in row * high..(row + 1) * high {
                for x in column * wide..(column + 1) * wide {
                    block(picture, tables, scanned, pass, &mut state, (x, y))?;
                }
            }
        }
    }
    let length = state.bits.position();
    for scanned in &components {
        picture.components[scanned.index].scanned = true;
    }
    Ok(length)
}

fn read_header<'a>(picture: &Picture, tables: &'a Tables, header: &[u8]) -> Result<(Vec<ScanComponent<'a>>, Pass)> {
    let [count, rest @ ..] = header else { bail!(TRUNCATED) };
    let count = usize::from(*count);
    ensure!((1..=4).contains(&count) && rest.len() >= count * 2 + 3, DAMAGED);
    let mut components: Vec<ScanComponent> = Vec::new();
    for pair in rest.chunks_exact(2).take(count) {
        let index = picture.components.iter().position(|c| c.id == pair[0]).context(DAMAGED)?;
        ensure!(components.iter().all(|c| c.index != index), DAMAGED);
        let table = |list: &'a [Option<Table>; 4], number: u8| list[usize::from(number & 3)].as_ref();
        components.push(ScanComponent {
            index,
            dc: table(&tables.dc, pair[1] >> 4),
            ac: table(&tables.ac, pair[1] & 15),
        });
    }
    let [first, last, bits] = [rest[count * 2], rest[count * 2 + 1], rest[count * 2 + 2]];
    let pass = if picture.progressive {
        let (first, last) = (usize::from(first), usize::from(last));
        ensure!(first <= last && last < 64 && bits & 15 <= 13, DAMAGED);
        ensure!(if first == 0 { last == 0 } else { count == 1 }, DAMAGED);
        Pass { progressive: true, first, last, refines: bits >> 4 != 0, low_bit: u32::from(bits & 15) }
    } else {
        Pass { progressive: false, first: 0, last: 63, refines: false, low_bit: 0 }
    };
    Ok((components, pass))
}

struct State<'a> {
    bits: Bits<'a>,
    previous_dc: [i32; 4],
    /// Blocks still to come that have nothing more in this band.
    end_of_band: u32,
}

fn block(
    picture: &mut Picture,
    tables: &Tables,
    scanned: &ScanComponent,
    pass: Pass,
    state: &mut State,
    (x, y): (usize, usize),
) -> Result<()> {
    let component = &mut picture.components[scanned.index];
    if !pass.progressive {
        let mut coefficients = [0; 64];
        let (dc, ac) = (scanned.dc.context(DAMAGED)?, scanned.ac.context(DAMAGED)?);
        first_dc(&mut coefficients, dc, 0, state, scanned.index)?;
        sequential_ac(&mut coefficients, ac, state)?;
        let quantisation = tables.quantisation[component.quantisation].as_ref().context(DAMAGED)?;
        component.plane.put_block(x, y, &coefficients, quantisation);
        return Ok(());
    }
    let coefficients = &mut component.coefficients[y * component.block_columns + x];
    match (pass.first, pass.refines) {
        (0, false) => first_dc(coefficients, scanned.dc.context(DAMAGED)?, pass.low_bit, state, scanned.index),
        (0, true) => {
            coefficients[0] |= (state.bits.take(1)? << pass.low_bit) as i16;
            Ok(())
        }
        (_, false) => first_ac(coefficients, scanned.ac.context(DAMAGED)?, pass, state),
        (_, true) => refine_ac(coefficients, scanned.ac.context(DAMAGED)?, pass, state),
    }
}

fn first_dc(block: &mut [i16; 64], table: &Table, low_bit: u32, state: &mut State, index: usize) -> Result<()> {
    let size = u32::from(state.bits.symbol(table)?);
    ensure!(size <= 16, DAMAGED);
    let dc = state.previous_dc[index].wrapping_add(state.bits.signed(size)?);
    state.previous_dc[index] = dc;
    block[0] = (dc << low_bit) as i16;
    Ok(())
}

fn sequential_ac(block: &mut [i16; 64], table: &Table, state: &mut State) -> Result<()> {
    let mut at = 1;
    while at < 64 {
        let symbol = state.bits.symbol(table)?;
        let (run, size) = (usize::from(symbol >> 4), u32::from(symbol & 15));
        if size == 0 {
            if run < 15 {
                break;
            }
            at += 16;
            continue;
        }
        at += run;
        ensure!(at < 64, DAMAGED);
        block[at] = state.bits.signed(size)? as i16;
        at += 1;
    }
    Ok(())
}

fn first_ac(block: &mut [i16; 64], table: &Table, pass: Pass, state: &mut State) -> Result<()> {
    if state.end_of_band > 0 {
        state.end_of_band -= 1;
        return Ok(());
    }
    let mut at = pass.first;
    while at <= pass.last {
        let symbol = state.bits.symbol(table)?;
        let (run, size) = (u32::from(symbol >> 4), u32::from(symbol & 15));
        if size == 0 {
            if run < 15 {
                state.end_of_band = (1 << run) - 1 + state.bits.take(run)?;
                break;
            }
            at += 16;
            continue;
        }
        at += run as usize;
        ensure!(at <= pass.last, DAMAGED);
        block[at] = (state.bits.signed(size)? << pass.low_bit) as i16;
        at += 1;
    }
    Ok(())
}

/// One more bit for the coefficients already known, and those that become non-zero with this bit.
fn refine_ac(block: &mut [i16; 64], table: &Table, pass: Pass, state: &mut State) -> Result<()> {
    let bit = 1i16 << pass.low_bit;
    let mut at = pass.first;
    if state.end_of_band == 0 {
        while at <= pass.last {
            let symbol = state.bits.symbol(table)?;
            let (mut run, size) = (u32::from(symbol >> 4), symbol & 15);
            let mut new = 0;
            if size == 0 {
                if run < 15 {
                    state.end_of_band = (1 << run) + state.bits.take(run)?;
                    break;
                }
            } else {
                new = if state.bits.take(1)? == 1 { bit } else { -bit };
            }
            // `run` counts the zeros to pass over; what is not zero on the way is refined.
            while at <= pass.last {
                if block[at] != 0 {
                    refine(&mut block[at], bit, state)?;
                } else if run == 0 {
                    break;
                } else {
                    run -= 1;
                }
                at += 1;
            }
            if new != 0 {
                ensure!(at <= pass.last, DAMAGED);
                block[at] = new;
            }
            at += 1;
        }
    }
    if state.end_of_band > 0 {
        for value in &mut block[at.min(64)..=pass.last] {
            if *value != 0 {
                refine(value, bit, state)?;
            }
        }
        state.end_of_band -= 1;
    }
    Ok(())
}

fn refine(value: &mut i16, bit: i16, state: &mut State) -> Result<()> {
    if state.bits.take(1)? == 1 && *value & bit == 0 {
        *value = value.wrapping_add(if *value > 0 { bit } else { -bit });
    }
    Ok(())
}

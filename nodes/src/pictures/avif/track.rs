//! The frames of an animated AVIF file, one after another, as its tracks list them.

use anyhow::{Context, Result, ensure};
use mp4_atom::{Codec, Moov, Stbl, StszSamples, Trak, Visual};

use super::av1::Decoder;
use super::boxes::{CUT, DAMAGED};
use super::items::meaning;
use super::{Budget, Frame, Meaning, colour};

/// More frames than the limit on pixels allows, however small they are.
const MOST: u32 = 1 << 16;

/// All frames of an animation, each with the opacity of the same number.
pub(super) fn frames(file: &[u8], movie: &Moov, budget: &mut Budget) -> Result<Vec<Frame>> {
    let colours = movie.trak.iter().find(|track| av01(track).is_some() && references(track, b"auxl").is_none());
    let colours = colours.context(DAMAGED)?;
    let alphas = movie
        .trak
        .iter()
        .find(|track| references(track, b"auxl").is_some_and(|to| to.contains(&colours.tkhd.track_id)));
    let premultiplied =
        alphas.zip(references(colours, b"prem")).is_some_and(|(alphas, to)| to.contains(&alphas.tkhd.track_id));
    let mut colours = Samples::of(file, colours)?;
    let mut alphas = alphas.map(|track| Samples::of(file, track)).transpose()?;
    let mut frames = Vec::new();
    while let Some(planes) = colours.next(budget)? {
        let alpha = match &mut alphas {
            Some(alphas) => Some(alphas.next(budget)?.context(CUT)?),
            None => None,
        };
        let meaning = colours.meaning.unwrap_or(planes.meaning);
        frames.push(colour::frame(&planes, meaning, alpha, premultiplied)?);
    }
    Ok(frames)
}

/// How a track's AV1 pictures look, and what the file says of their colours.
fn av01(track: &Trak) -> Option<(&Visual, Option<Meaning>)> {
    track.mdia.minf.stbl.stsd.codecs.iter().find_map(|codec| match codec {
        Codec::Av01(av01) => Some((&av01.visual, av01.colr.as_ref().and_then(meaning))),
        _ => None,
    })
}

/// The tracks that a track refers to in a way.
fn references<'t>(track: &'t Trak, kind: &[u8; 4]) -> Option<&'t [u32]> {
    let all = &track.tref.as_ref()?.track_reference_type_boxes;
    Some(&all.iter().find(|one| <[u8; 4]>::from(one.reference_type) == *kind)?.track_ids)
}

/// A track's pictures.
struct Samples<'a> {
    file: &'a [u8],
    /// Where each lies: its offset and length in bytes.
    places: std::vec::IntoIter<(u64, u32)>,
    size: (u32, u32),
    meaning: Option<Meaning>,
    decoder: Decoder,
}

impl<'a> Samples<'a> {
    fn of(file: &'a [u8], track: &Trak) -> Result<Samples<'a>> {
        let (visual, meaning) = av01(track).context(DAMAGED)?;
        let size = (visual.width.into(), visual.height.into());
        let places = places(&track.mdia.minf.stbl)?.into_iter();
        Ok(Samples { file, places, size, meaning, decoder: Decoder::new(size)? })
    }

    fn next(&mut self, budget: &mut Budget) -> Result<Option<super::Planes>> {
        let Some((offset, length)) = self.places.next() else { return Ok(None) };
        let (width, height) = self.size;
        budget.take(width, height)?;
        let begin = usize::try_from(offset).context(CUT)?;
        let sample = self.file.get(begin..).and_then(|rest| rest.get(..length as usize)).context(CUT)?;
        let planes = self.decoder.next(sample.to_vec())?;
        ensure!((planes.width, planes.height) == (width as usize, height as usize), DAMAGED);
        Ok(Some(planes))
    }
}

/// Where each sample lies: samples follow each other in chunks.
fn places(table: &Stbl) -> Result<Vec<(u64, u32)>> {
    let (count, size): (u32, &dyn Fn(usize) -> Option<u32>) = match &table.stsz.samples {
        StszSamples::Identical { count, size } => (*count, &|_| Some(*size)),
        StszSamples::Different { sizes } => (u32::try_from(sizes.len())?, &|number| sizes.get(number).copied()),
    };
    ensure!(count <= MOST, "is an avif file of {count} frames; at most {MOST} are read: keep fewer");
    let chunks: Vec<u64> = match (&table.stco, &table.co64) {
        (Some(stco), _) => stco.entries.iter().map(|offset| u64::from(*offset)).collect(),
        (None, Some(co64)) => co64.entries.clone(),
        (None, None) => return Err(anyhow::anyhow!(DAMAGED)),
    };
    let mut places = Vec::new();
    let mut runs = table.stsc.entries.iter().peekable();
    let mut each = 0;
    for (number, mut offset) in (1u32..).zip(chunks) {
        while let Some(run) = runs.next_if(|run| run.first_chunk <= number) {
            each = run.samples_per_chunk;
        }
        for _ in 0..each {
            let Some(length) = size(places.len()).filter(|_| places.len() < count as usize) else { break };
            places.push((offset, length));
            offset = offset.checked_add(length.into()).context(CUT)?;
        }
    }
    ensure!(places.len() == count as usize && count > 0, CUT);
    Ok(places)
}

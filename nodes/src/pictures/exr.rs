//! Writing OpenEXR files: floats of 32 bits, linear light.

use std::io::Cursor;

use anyhow::{Context, Result, bail};
use exr::meta::attribute::{AttributeValue, Chromaticities, Text};
use exr::prelude::{
    AnyChannel, AnyChannels, Encoding, FlatSamples, Image, Layer, LayerAttributes, Vec2, WritableImage,
};
use redraft_engine::memory;
use serde_json::Value;
use tch::{Device, Kind, Tensor};

use crate::python::json;

/// The colours that a file's channels stand for; white is D65's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Primaries {
    /// Those of sRGB.
    Rec709,
    /// The wider ones of BT.2020.
    Rec2020,
}

impl Primaries {
    fn chromaticities(self) -> Chromaticities {
        let [red, green, blue] = match self {
            Self::Rec709 => [(0.64, 0.33), (0.30, 0.60), (0.15, 0.06)],
            Self::Rec2020 => [(0.708, 0.292), (0.17, 0.797), (0.131, 0.046)],
        };
        let at = |(x, y)| Vec2(x, y);
        Chromaticities { red: at(red), green: at(green), blue: at(blue), white: at((0.3127, 0.3290)) }
    }
}

/// One picture (H × W × C, C = 1, 3 or 4, linear light) as the bytes of an OpenEXR file, not compressed. Each entry of `metadata` becomes
/// a text attribute, its value as Python's JSON.
///
/// # Errors
/// If the tensor has another shape, or there is too little memory.
pub fn encode_exr(image: &Tensor, metadata: &[(String, Value)], primaries: Primaries) -> Result<Vec<u8>> {
    let [height, width, channels] = image.size()[..] else {
        bail!("a picture of shape {:?} cannot be saved: it must be height × width × channels", image.size());
    };
    let names: &[&str] = match channels {
        1 => &["Y"],
        3 => &["R", "G", "B"],
        4 => &["R", "G", "B", "A"],
        _ => bail!("a picture of {channels} channels cannot be saved: make it grey, RGB or RGBA"),
    };
    memory::ask(image.numel().saturating_mul(12), "the picture in floats")?;
    let image = image.to_device(Device::Cpu).to_kind(Kind::Float);
    let channel = |(at, name): (i64, &&str)| -> Result<_> {
        let samples = Vec::try_from(image.select(-1, at).contiguous().view(-1))?;
        Ok(AnyChannel::new(*name, FlatSamples::F32(samples)))
    };
    let list = (0..).zip(names).map(channel).collect::<Result<_>>()?;
    let mut attributes = LayerAttributes::default();
    for (key, value) in metadata {
        let name = Text::new_or_none(key).context("metadata has a name beyond Latin letters; use another")?;
        let text = Text::new_or_none(json::dumps(value)).context("metadata cannot be written: this is a bug")?;
        attributes.other.insert(name, AttributeValue::Text(text));
    }
    let size = (usize::try_from(width)?, usize::try_from(height)?);
    let mut file = Image::from_layer(Layer::new(size, attributes, Encoding::UNCOMPRESSED, AnyChannels::sort(list)));
    file.attributes.chromaticities = Some(primaries.chromaticities());
    let mut bytes = Cursor::new(Vec::new());
    file.write().non_parallel().to_buffered(&mut bytes).context("the picture cannot be written as OpenEXR")?;
    Ok(bytes.into_inner())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use exr::prelude::read_first_flat_layer_from_file;
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let image = Tensor::from_slice(&[0.0_f32, 1.0, 2.0, 3.0, -4.0, 5.5]).view([1, 2, 3]);
        let metadata = [("prompt".to_owned(), json!({ "1": "é" }))];
        let bytes = encode_exr(&image, &metadata, Primaries::Rec2020).unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        let read = read_first_flat_layer_from_file(file.path()).unwrap();
        assert_eq!(
            (read.layer_data.size, read.attributes.chromaticities.unwrap().red),
            (Vec2(2, 1), Vec2(0.708, 0.292))
        );
        let channels = read.layer_data.channel_data.list.iter();
        let values: Vec<(String, Vec<f32>)> =
            channels.map(|one| (one.name.to_string(), one.sample_data.values_as_f32().collect())).collect();
        assert_eq!(
            values,
            [("B".to_owned(), vec![2.0, 5.5]), ("G".to_owned(), vec![1.0, -4.0]), ("R".to_owned(), vec![0.0, 3.0])]
        );
        let prompt = &read.layer_data.attributes.other[&Text::new_or_none("prompt").unwrap()];
        assert_eq!(*prompt, AttributeValue::Text(Text::new_or_none("{\"1\": \"\\u00e9\"}").unwrap()));
        assert!(encode_exr(&Tensor::zeros([1, 2, 2], (Kind::Float, Device::Cpu)), &[], Primaries::Rec709).is_err());
    }
}

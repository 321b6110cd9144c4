//! What travels between the nodes of this pack.

use std::path::PathBuf;
use std::rc::Rc;

use redraft_engine::codec::{Codec, Data, Decoder, Encoder, Malformed};
use redraft_engine::io::{Emit, Field, Misfit, Socket, Value, Widget, Wire};
use redraft_engine::node::Offer;
use redraft_engine::results_file::{WIRE_TABLES, WireType};
use redraft_engine::schema::{ANY, Kind};
use redraft_nodes::values::{Image, Latent};

redraft_engine::add_rows!(WIRE_TABLES: WireType = [
    WireType::of::<Filenames>(),
    WireType::of::<VideoInfo>(),
    WireType::of::<BatchManager>(),
]);

/// The files that a node has saved. Each process writes its own.
#[derive(Clone, Debug)]
pub(super) struct Filenames(pub(super) Rc<[PathBuf]>);

impl Wire for Filenames {
    const TYPE: &'static str = "VHS_FILENAMES";
    const CODEC: Codec<Self> = Codec::Recipe;
}

/// What never comes over a wire: see the node that refuses to make it.
#[derive(Clone, Debug)]
pub(super) struct BatchManager;

impl Wire for BatchManager {
    const TYPE: &'static str = "VHS_BatchManager";
    const CODEC: Codec<Self> = Codec::Recipe;
}

/// Rate, length and size of a video.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Facts {
    /// Frames per second.
    pub(super) fps: f64,
    pub(super) frame_count: i64,
    /// In seconds.
    pub(super) duration: f64,
    /// In pixels.
    pub(super) width: i64,
    pub(super) height: i64,
}

/// A video as its file has it, and as it was loaded.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct VideoInfo {
    pub(super) source: Facts,
    pub(super) loaded: Facts,
}

impl Wire for VideoInfo {
    const TYPE: &'static str = "VHS_VIDEOINFO";
    const CODEC: Codec<Self> = Codec::DATA;
}

impl Data for Facts {
    fn encode(&self, to: &mut Encoder<'_>) {
        to.field("fps", &self.fps);
        to.field("frame_count", &self.frame_count);
        to.field("duration", &self.duration);
        to.field("width", &self.width);
        to.field("height", &self.height);
    }

    fn decode(from: &mut Decoder<'_, '_>) -> Result<Self, Malformed> {
        Ok(Self {
            fps: from.field("fps")?,
            frame_count: from.field("frame_count")?,
            duration: from.field("duration")?,
            width: from.field("width")?,
            height: from.field("height")?,
        })
    }
}

impl Data for VideoInfo {
    fn encode(&self, to: &mut Encoder<'_>) {
        to.field("source", &self.source);
        to.field("loaded", &self.loaded);
    }

    fn decode(from: &mut Decoder<'_, '_>) -> Result<Self, Malformed> {
        Ok(Self { source: from.field("source")?, loaded: from.field("loaded")? })
    }
}

/// Pictures or latents.
#[derive(Clone, Debug)]
pub(super) enum ImageOrLatent {
    Image(Image),
    Latent(Latent),
}

impl Field for ImageOrLatent {
    fn kind(_: Widget) -> Kind {
        Kind::Socket(<Self as Emit>::TYPE.to_owned())
    }

    fn from_value(value: &Value) -> Result<Self, Misfit> {
        let image = value.downcast().cloned().map(Self::Image);
        image
            .or_else(|| value.downcast().cloned().map(Self::Latent))
            .ok_or_else(|| Misfit::Type { wanted: "IMAGE or LATENT".to_owned(), found: value.type_name().to_owned() })
    }
}

impl Emit for ImageOrLatent {
    const TYPE: &'static str = "IMAGE,LATENT";

    fn into_socket(self) -> Socket {
        match self {
            Self::Image(image) => image.into_socket(),
            Self::Latent(latent) => latent.into_socket(),
        }
    }
}

/// An input, and the types of outputs that may be linked to it.
pub(super) type Linkable = (&'static str, &'static [&'static str]);

/// What a rate may be linked to: whole numbers, too.
pub(super) const NUMBER: &[&str] = &["FLOAT", "INT"];

/// Whether what is linked is of a type that the inputs take. For nodes that check types themselves, because a rate may be a whole number.
///
/// # Errors
/// If one is not; the text is for the user.
pub(super) fn fit(offer: &Offer, inputs: &[Linkable]) -> Result<(), String> {
    for (input, wanted) in inputs {
        let Some(given) = offer.linked_type(input) else { continue };
        let fits = |ty: &str| ty == ANY || ty == "COMFY_MATCHTYPE_V3" || wanted.contains(&ty);
        if !given.split(',').any(|ty| fits(ty.trim())) {
            let wanted = wanted.join(" or ");
            return Err(format!("'{input}' is linked to an output of type {given}; connect one of type {wanted}"));
        }
    }
    Ok(())
}

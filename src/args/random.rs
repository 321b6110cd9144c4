//! What `redraft random-checkpoint` can make.

use clap::ValueEnum;
use redraft_nodes::models::random::{Layout, Size, Steering};

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum CheckpointKind {
    /// Stable Diffusion 1.x
    #[value(alias = "sd1")]
    Plain,
    /// The same, shown a mask and a masked latent, too: 9 channels
    #[value(alias = "sd1-inpainting")]
    Inpainting,
    /// The same, shown the latent of the picture to be changed, too: 8 channels
    #[value(name = "instruct-pix2pix")]
    InstructPix2Pix,
    /// Stable Diffusion 2.x
    Sd2,
    /// Stable Diffusion 2.1 unCLIP with its image encoder
    #[value(name = "sd2-unclip")]
    Sd2Unclip,
    /// SDXL's base model
    Sdxl,
    /// The same for inpainting: 9 channels
    SdxlInpainting,
    /// SDXL's refiner
    SdxlRefiner,
    /// Flux dev with its text encoders and VAE
    Flux,
    /// AuraFlow with its text encoder and VAE
    #[value(name = "auraflow")]
    AuraFlow,
    /// PixArt-Σ with its text encoder and VAE
    Pixart,
    /// Chroma with its text encoder and VAE
    Chroma,
    /// Qwen-Image with its text encoder and VAE
    QwenImage,
    /// LTX-Video 0.9, 2 billion weights, with its text encoder and VAE
    Ltxv,
    /// HiDream with its text encoders and VAE
    #[value(name = "hidream")]
    HiDream,
    /// HunyuanVideo with its text encoders and VAE
    HunyuanVideo,
    /// Wan 2.1, 1.3 billion weights, with its text encoder and VAE
    Wan,
    /// Stable Video Diffusion with its image encoder
    Svd,
    /// SV3D that chooses its way itself, with its image encoder
    #[value(name = "sv3d-u")]
    Sv3dU,
    /// SV3D that is told its way
    #[value(name = "sv3d-p")]
    Sv3dP,
    /// Stable Zero123 with its image encoder
    Zero123,
    /// A GLIGEN model of Stable Diffusion 1.x
    Gligen,
    /// A ControlNet of Stable Diffusion 1.x
    #[value(name = "controlnet")]
    ControlNet,
    /// The same in the layout of diffusers
    #[value(name = "controlnet-diffusers")]
    ControlNetDiffusers,
    /// The same as the difference from a model
    #[value(name = "controlnet-difference")]
    ControlNetDifference,
    /// A ControlNet of Stable Diffusion 2.x
    #[value(name = "controlnet-sd2")]
    ControlNetSd2,
    /// A ControlNet of SDXL
    #[value(name = "controlnet-sdxl")]
    ControlNetSdxl,
    /// The same for pictures of several kinds
    #[value(name = "controlnet-union")]
    ControlNetUnion,
    /// A control-LoRA of Stable Diffusion 1.x
    ControlLora,
    /// A control-LoRA of SDXL
    ControlLoraSdxl,
    /// A T2I-Adapter of Stable Diffusion 1.x
    T2iAdapter,
    /// The same with few weights
    T2iAdapterLight,
    /// A T2I-Adapter of SDXL
    T2iAdapterSdxl,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum CheckpointSize {
    /// 32 channels, 34 MB
    Tiny,
    /// The real sizes in half precision: 2.1 GB, SD2 2.6 GB, SDXL 6.9 GB, its refiner 6.1 GB; Flux in 8 bits 17 GB, Qwen-Image 28 GB
    #[value(alias = "sd15")]
    Real,
}

impl CheckpointKind {
    /// What is in the file.
    pub(crate) fn layout(self) -> Layout {
        match self {
            Self::Plain => Layout::Sd1,
            Self::Inpainting => Layout::Sd1Inpainting,
            Self::InstructPix2Pix => Layout::Sd1InstructPix2Pix,
            Self::Sd2 => Layout::Sd2,
            Self::Sd2Unclip => Layout::Sd2Unclip,
            Self::Sdxl => Layout::Sdxl,
            Self::SdxlInpainting => Layout::SdxlInpainting,
            Self::SdxlRefiner => Layout::SdxlRefiner,
            Self::Flux => Layout::Flux,
            Self::QwenImage => Layout::QwenImage,
            Self::AuraFlow => Layout::AuraFlow,
            Self::Pixart => Layout::PixArt,
            Self::Chroma => Layout::Chroma,
            Self::Ltxv => Layout::Ltxv,
            Self::HiDream => Layout::HiDream,
            Self::HunyuanVideo => Layout::HunyuanVideo,
            Self::Wan => Layout::Wan,
            Self::Svd => Layout::Svd,
            Self::Sv3dU => Layout::Sv3dU,
            Self::Sv3dP => Layout::Sv3dP,
            Self::Zero123 => Layout::Zero123,
            Self::Gligen => Layout::Gligen,
            Self::ControlNet => Layout::Steering(Steering::Sd1),
            Self::ControlNetDiffusers => Layout::Steering(Steering::Sd1Diffusers),
            Self::ControlNetDifference => Layout::Steering(Steering::Sd1Difference),
            Self::ControlNetSd2 => Layout::Steering(Steering::Sd2),
            Self::ControlNetSdxl => Layout::Steering(Steering::Sdxl),
            Self::ControlNetUnion => Layout::Steering(Steering::Union),
            Self::ControlLora => Layout::Steering(Steering::LoraSd1),
            Self::ControlLoraSdxl => Layout::Steering(Steering::LoraSdxl),
            Self::T2iAdapter => Layout::Steering(Steering::Adapter),
            Self::T2iAdapterLight => Layout::Steering(Steering::AdapterLight),
            Self::T2iAdapterSdxl => Layout::Steering(Steering::AdapterSdxl),
        }
    }
}

impl CheckpointSize {
    /// How large its networks are.
    pub(crate) fn size(self) -> Size {
        match self {
            Self::Tiny => Size::Tiny,
            Self::Real => Size::Real,
        }
    }
}

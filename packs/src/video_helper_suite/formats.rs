//! The formats in which videos are saved: one table of what each is called, takes and tells ffmpeg.

use redraft_engine::io::Combo;

use super::widgets::{Settings, Widget};

/// A format that ffmpeg writes.
pub(super) struct Format {
    /// Its name among the choices, `video/h264-mp4`.
    pub(super) name: &'static str,
    /// What files end in. With `%03d` there is a file for each frame.
    pub(super) extension: &'static str,
    /// ffmpeg's name of the container.
    pub(super) muxer: &'static str,
    /// The encoder that it needs, where ffmpeg does not choose one.
    pub(super) encoder: Option<&'static str>,
    pub(super) widgets: &'static [Widget],
    /// The options of the encoder, of the settings and of whether there is alpha.
    pub(super) options: fn(&Settings, bool) -> Vec<String>,
    pub(super) colours: Colours,
    /// Whether frames are handed over in 16 bits. A widget may say so, too.
    pub(super) is_deep: bool,
    /// The options of the encoder of sound; nothing for a format that holds none.
    pub(super) sound: Option<&'static [&'static str]>,
    /// A variable for ffmpeg's encoder.
    pub(super) variable: Option<(&'static str, &'static str)>,
}

/// What is told of the colours.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Colours {
    /// Nothing.
    Unsaid,
    /// BT.709.
    Bt709,
    /// BT.709 with the range of television.
    Bt709Tv,
}

const SAVE_METADATA: Widget = Widget::flag("save_metadata", true);
const TRIM_TO_AUDIO: Widget = Widget::flag("trim_to_audio", false);
const AAC: Option<&[&str]> = Some(&["-c:a", "aac", "-movflags", "use_metadata_tags"]);
const HARDWARE: &[Widget] = &[
    Widget::choice("pix_fmt", &["yuv420p", "p010le"], "yuv420p"),
    Widget::whole("bitrate", 10, (1, 999)),
    Widget::flag("megabit", true),
    SAVE_METADATA,
];
const DITHERS: &[&str] =
    &["bayer", "heckbert", "floyd_steinberg", "sierra2", "sierra2_4a", "sierra3", "burkes", "atkinson", "none"];
const FFV1_PIXELS: &[&str] = &[
    "rgba64le",
    "bgra",
    "yuv420p",
    "yuv422p",
    "yuv444p",
    "yuva420p",
    "yuva422p",
    "yuva444p",
    "yuv420p10le",
    "yuv422p10le",
    "yuv444p10le",
    "yuv420p12le",
    "yuv422p12le",
    "yuv444p12le",
    "yuv420p14le",
    "yuv422p14le",
    "yuv444p14le",
    "yuv420p16le",
    "yuv422p16le",
    "yuv444p16le",
    "gray",
    "gray10le",
    "gray12le",
    "gray16le",
];

/// What most formats have in common.
const PLAIN: Format = Format {
    name: "",
    extension: "mp4",
    muxer: "mp4",
    encoder: None,
    widgets: &[],
    options: |_, _| Vec::new(),
    colours: Colours::Bt709Tv,
    is_deep: false,
    sound: None,
    variable: None,
};

/// The formats, by name.
pub(super) static FORMATS: [Format; 12] = [
    Format {
        name: "video/16bit-png",
        extension: "%03d.png",
        muxer: "image2",
        options: |_, _| texts(&["-pix_fmt", "rgba64"]),
        colours: Colours::Unsaid,
        is_deep: true,
        ..PLAIN
    },
    Format { name: "video/8bit-png", extension: "%03d.png", muxer: "image2", colours: Colours::Unsaid, ..PLAIN },
    Format {
        name: "video/ProRes",
        extension: "mov",
        muxer: "mov",
        encoder: Some("prores_ks"),
        widgets: &[Widget::choice("profile", &["lt", "standard", "hq", "4444", "4444xq"], "hq")],
        options: |settings, alpha| {
            let profile = settings.text("profile");
            let pixels = if alpha { "yuva444p10le" } else { "yuv444p10le" };
            let mut options = texts(&["-c:v", "prores_ks", "-profile:v", profile]);
            if profile.starts_with("4444") {
                options.extend(texts(&["-pix_fmt", pixels]));
            }
            options
        },
        colours: Colours::Bt709,
        sound: Some(&["-c:a", "pcm_s16le"]),
        ..PLAIN
    },
    Format {
        name: "video/av1-webm",
        extension: "webm",
        muxer: "webm",
        encoder: Some("libsvtav1"),
        widgets: &[
            Widget::choice("pix_fmt", &["yuv420p10le", "yuv420p"], "yuv420p10le"),
            Widget::whole("crf", 23, (0, 100)),
            Widget::choice("input_color_depth", &["8bit", "16bit"], "8bit"),
            SAVE_METADATA,
        ],
        options: |settings, _| with_quality(settings, &["-c:v", "libsvtav1"]),
        sound: Some(&["-c:a", "libopus"]),
        variable: Some(("SVT_LOG", "1")),
        ..PLAIN
    },
    Format {
        name: "video/ffmpeg-gif",
        extension: "gif",
        muxer: "gif",
        widgets: &[Widget::choice("dither", DITHERS, "sierra2_4a")],
        colours: Colours::Unsaid,
        ..PLAIN
    },
    Format {
        name: "video/ffv1-mkv",
        extension: "mkv",
        muxer: "matroska",
        encoder: Some("ffv1"),
        widgets: &[
            Widget::choice("level", &["0", "1", "3"], "3"),
            Widget::choice("coder", &["0", "1", "2"], "1"),
            Widget::choice("context", &["0", "1"], "1"),
            Widget::whole("gop_size", 1, (1, 300)),
            Widget::choice("slices", &["4", "6", "9", "12", "16", "20", "24", "30"], "16"),
            Widget::choice("slicecrc", &["0", "1"], "1"),
            Widget::choice("pix_fmt", FFV1_PIXELS, "rgba64le"),
            SAVE_METADATA,
            TRIM_TO_AUDIO,
        ],
        options: |settings, _| {
            let options = [("-level", "level"), ("-coder", "coder"), ("-context", "context"), ("-g", "gop_size")];
            let others = [("-slices", "slices"), ("-slicecrc", "slicecrc"), ("-pix_fmt", "pix_fmt")];
            let set = options.into_iter().chain(others);
            let set = set.flat_map(|(option, name)| [option.to_owned(), settings.text(name).to_owned()]);
            texts(&["-c:v", "ffv1"]).into_iter().chain(set).collect()
        },
        colours: Colours::Unsaid,
        is_deep: true,
        sound: Some(&["-c:a", "flac"]),
        ..PLAIN
    },
    Format {
        name: "video/h264-mp4",
        encoder: Some("libx264"),
        widgets: &[
            Widget::choice("pix_fmt", &["yuv420p", "yuv420p10le"], "yuv420p"),
            Widget::whole("crf", 19, (0, 100)),
            SAVE_METADATA,
            TRIM_TO_AUDIO,
        ],
        options: |settings, _| with_quality(settings, &["-c:v", "libx264"]),
        sound: AAC,
        ..PLAIN
    },
    Format {
        name: "video/h265-mp4",
        encoder: Some("libx265"),
        widgets: &[
            Widget::choice("pix_fmt", &["yuv420p10le", "yuv420p"], "yuv420p10le"),
            Widget::whole("crf", 22, (0, 100)),
            SAVE_METADATA,
        ],
        options: |settings, _| {
            let fixed = ["-c:v", "libx265", "-vtag", "hvc1", "-preset", "medium", "-x265-params", "log-level=quiet"];
            with_quality(settings, &fixed)
        },
        sound: AAC,
        ..PLAIN
    },
    Format {
        name: "video/nvenc_av1-mp4",
        encoder: Some("av1_nvenc"),
        widgets: HARDWARE,
        options: |settings, _| with_rate(settings, &["-c:v", "av1_nvenc"]),
        sound: AAC,
        ..PLAIN
    },
    Format {
        name: "video/nvenc_h264-mp4",
        encoder: Some("h264_nvenc"),
        widgets: HARDWARE,
        options: |settings, _| with_rate(settings, &["-c:v", "h264_nvenc"]),
        sound: AAC,
        ..PLAIN
    },
    Format {
        name: "video/nvenc_hevc-mp4",
        encoder: Some("hevc_nvenc"),
        widgets: HARDWARE,
        options: |settings, _| with_rate(settings, &["-c:v", "hevc_nvenc", "-vtag", "hvc1"]),
        sound: AAC,
        ..PLAIN
    },
    Format {
        name: "video/webm",
        extension: "webm",
        muxer: "webm",
        widgets: &[
            Widget::choice("pix_fmt", &["yuv420p", "yuva420p"], "yuv420p"),
            Widget::whole("crf", 20, (0, 100)),
            SAVE_METADATA,
            TRIM_TO_AUDIO,
        ],
        options: |settings, _| with_quality(settings, &["-b:v", "0"]),
        sound: Some(&["-c:a", "libvorbis"]),
        ..PLAIN
    },
];

fn texts(options: &[&str]) -> Vec<String> {
    options.iter().map(|option| (*option).to_owned()).collect()
}

/// Options with the pixels and the constant rate factor that are set.
fn with_quality(settings: &Settings, fixed: &[&str]) -> Vec<String> {
    let set = ["-pix_fmt", settings.text("pix_fmt"), "-crf", settings.text("crf")];
    texts(&[fixed, &set].concat())
}

/// Options with the pixels and the bit rate that are set.
fn with_rate(settings: &Settings, fixed: &[&str]) -> Vec<String> {
    let unit = if settings.flag("megabit") { "M" } else { "K" };
    let rate = format!("{}{unit}", settings.text("bitrate"));
    texts(&[fixed, &["-pix_fmt", settings.text("pix_fmt"), "-b:v", &rate]].concat())
}

impl Format {
    /// Whether frames are handed over in 16 bits a value.
    pub(super) fn is_deep(&self, settings: &Settings) -> bool {
        self.is_deep || settings.text("input_color_depth") == "16bit"
    }

    /// Whether there is a file for each frame.
    pub(super) fn is_sequence(&self) -> bool {
        self.extension.contains('%')
    }
}

/// The widgets of an animated WebP picture.
const WEBP: &[Widget] = &[Widget::flag("lossless", true)];

/// A choice of format.
#[derive(Clone, Copy)]
pub(super) enum Chosen {
    Gif,
    Webp,
    Video(&'static Format),
}

impl Chosen {
    pub(super) fn name(self) -> &'static str {
        match self {
            Chosen::Gif => "image/gif",
            Chosen::Webp => "image/webp",
            Chosen::Video(format) => format.name,
        }
    }

    pub(super) fn widgets(self) -> &'static [Widget] {
        match self {
            Chosen::Gif => &[],
            Chosen::Webp => WEBP,
            Chosen::Video(format) => format.widgets,
        }
    }

    pub(super) fn extension(self) -> &'static str {
        match self {
            Chosen::Gif => "gif",
            Chosen::Webp => "webp",
            Chosen::Video(format) => format.extension,
        }
    }

    fn all() -> impl Iterator<Item = Chosen> {
        [Chosen::Gif, Chosen::Webp].into_iter().chain(FORMATS.iter().map(Chosen::Video))
    }
}

impl Combo for Chosen {
    fn names() -> Vec<&'static str> {
        Self::all().map(Self::name).collect()
    }

    fn from_name(name: &str) -> Option<Self> {
        Self::all().find(|chosen| chosen.name() == name)
    }
}
redraft_engine::combo_field!(Chosen);

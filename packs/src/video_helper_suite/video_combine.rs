use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use chrono::Local;
use redraft_engine::aside::temporary_folder;
use redraft_engine::cx::Cx;
use redraft_engine::io::{Combo, Rest, Wildcard};
use redraft_engine::node::{Offer, Run};
use redraft_engine::{Node, Outputs};
use redraft_nodes::networks::Networks;
use redraft_nodes::pictures::animation::{Frames, WebpSettings, webp_of};
use redraft_nodes::pictures::gif_animation::gif_of;
use redraft_nodes::pictures::write::encode_rounded;
use redraft_nodes::python::json::dumps;
use redraft_nodes::recipes::VaeRecipe;
use redraft_nodes::values::{Audio, Image};
use serde_json::{Value as Json, json};
use tch::Tensor;

use super::encode::{Clip, add_sound, write_video};
use super::exif::time_taken;
use super::formats::{Chosen, Format};
use super::saving::Files;
use super::widgets::Settings;
use super::wires::{BatchManager, Filenames, ImageOrLatent, Linkable, NUMBER, fit};

/// Saves pictures as an animation or a video: by ffmpeg, with sound if there is any, or as an animated GIF or WebP picture. The first frame
/// is saved beside it as a PNG picture with the workflow.
///
/// The chosen format brings settings of its own, such as `crf` and `pix_fmt`.
#[derive(Node)]
#[node(
    class = "VHS_VideoCombine",
    category = "Video Helper Suite 🎥🅥🅗🅢",
    display = "Video Combine 🎥🅥🅗🅢",
    output,
    hidden("prompt", "extra_pnginfo", "unique_id", "*"),
    validates_types
)]
#[allow(dead_code, reason = "a batch manager is refused before anything runs")]
struct VideoCombine {
    /// The frames, or latents, which the VAE decodes.
    images: ImageOrLatent,
    /// Frames per second.
    #[input(default = 8.0, min = 1.0, step = 1.0)]
    frame_rate: f64,
    /// How often a video is repeated; how often a picture is played, where 0 is without end.
    #[input(default = 0, min = 0, max = 100, step = 1)]
    loop_count: i64,
    /// The prefix of the files' names. It may contain subfolders.
    #[input(default = "AnimateDiff")]
    filename_prefix: String,
    format: Chosen,
    /// Whether the frames follow once more, backwards.
    #[input(default = false)]
    pingpong: bool,
    /// Whether the files go into the output folder. If not, into the temp folder.
    #[input(default = true)]
    save_output: bool,
    /// What is heard: the video is saved once more, with it.
    audio: Option<Audio>,
    meta_batch: Option<BatchManager>,
    /// What decodes latents.
    vae: Option<VaeRecipe>,
    #[input(rest)]
    settings: Rest<Wildcard>,
}

#[derive(Outputs)]
struct Combined {
    #[output(name = "Filenames")]
    filenames: Filenames,
}

const LINKABLE: &[Linkable] = &[
    ("images", &["IMAGE", "LATENT"]),
    ("frame_rate", NUMBER),
    ("loop_count", &["INT"]),
    ("filename_prefix", &["STRING"]),
    ("format", &["COMBO", "STRING"]),
    ("pingpong", &["BOOLEAN"]),
    ("save_output", &["BOOLEAN"]),
    ("audio", &["AUDIO"]),
    ("meta_batch", &["VHS_BatchManager"]),
    ("vae", &["VAE"]),
];

impl Run for VideoCombine {
    type Out = Combined;

    fn validate(offer: &Offer) -> Result<(), String> {
        fit(offer, LINKABLE)?;
        let format = offer.constant("format").and_then(Json::as_str).and_then(Chosen::from_name);
        format.map_or(Ok(()), |format| Settings::read(format.widgets(), |name| offer.constant(name)).map(drop))
    }

    fn run(self, cx: &mut Cx) -> Result<Combined> {
        let images = self.pictures(cx)?;
        let count = images.size().first().copied().unwrap_or(0);
        if count == 0 {
            cx.warn("there are no pictures, and nothing is saved");
            return Ok(Combined { filenames: Filenames([].into()) });
        }
        let given: Vec<(&str, Json)> =
            self.settings.0.iter().map(|(name, value)| (name.as_str(), value.0.shown())).collect();
        let find = |name: &str| given.iter().find(|(given, _)| *given == name).map(|(_, value)| value);
        let settings = Settings::read(self.format.widgets(), find).map_err(anyhow::Error::msg)?;
        let folder = if self.save_output { cx.folders.output.clone() } else { cx.folders.temp.clone() };
        let mut files = Files::new(&self.filename_prefix, &folder)?;
        if Extras::of(cx).first_frame {
            files.claim(FIRST, &encode_rounded(&images.get(0), &texts(cx))?)?;
        }
        let clip = Clip { images: &images, rate: self.frame_rate, loops: self.loop_count, pingpong: self.pingpong };
        let made = match self.format {
            Chosen::Gif | Chosen::Webp => self.animation(&clip, &settings, &mut files)?,
            Chosen::Video(format) => self.video(&clip, (format, &settings), &mut files, cx)?,
        };
        cx.ui("gifs", self.shown(&made, &files, count)?);
        let all = std::iter::once(FIRST.to_owned()).chain(made.endings);
        let paths = all.map(|ending| files.path(&ending)).collect::<Result<Vec<PathBuf>>>()?;
        files.keep(cx);
        Ok(Combined { filenames: Filenames(paths.into()) })
    }
}

/// What the first frame's file ends in.
const FIRST: &str = ".png";

/// What was made: the endings of the files, of which the last is shown.
struct Made {
    endings: Vec<String>,
}

/// What the editor's settings say, which a workflow carries.
struct Extras {
    /// Whether the first frame is saved.
    first_frame: bool,
    /// Whether a video is kept of which there is one with sound.
    intermediate: bool,
}

impl Extras {
    fn of(cx: &Cx) -> Self {
        let workflow = cx.metadata.extra.iter().find(|(name, _)| name == "workflow").map(|(_, workflow)| workflow);
        let says_no = |name: &str| workflow.is_some_and(|workflow| workflow["extra"][name] == json!(false));
        Self { first_frame: !says_no("VHS_MetadataImage"), intermediate: !says_no("VHS_KeepIntermediate") }
    }
}

impl VideoCombine {
    /// The frames, N×H×W×C.
    fn pictures(&self, cx: &Cx) -> Result<Tensor> {
        let latent = match (&self.images, &self.vae) {
            (ImageOrLatent::Image(Image(images)), _) => return Ok(images.shallow_clone()),
            (ImageOrLatent::Latent(latent), Some(_)) => latent,
            (ImageOrLatent::Latent(_), None) => {
                bail!("input 'images' is linked to latents, which need a VAE: connect one to 'vae'")
            }
        };
        let vae = self.vae.as_ref().context("there is no VAE: connect one to 'vae'")?;
        let network = vae.network(&*cx.service::<Networks>()?)?;
        let samples = &latent.samples;
        let &[count, _, rows, columns] = samples.size().as_slice() else { return network.decode(samples) };
        let at_once = super::at_once(columns * network.factor(), rows * network.factor());
        let mut all = Vec::new();
        for start in (0..count).step_by(usize::try_from(at_once)?) {
            cx.check()?;
            all.push(network.decode(&samples.narrow(0, start, at_once.min(count - start)))?);
        }
        ensure!(!all.is_empty(), "there are no latents; connect some");
        Ok(Tensor::cat(&all, 0))
    }

    /// Saves an animated picture.
    fn animation(&self, clip: &Clip<'_>, settings: &Settings, files: &mut Files) -> Result<Made> {
        let images = clip.images.index_select(0, &Tensor::from_slice(&clip.order()));
        let milliseconds = (1000.0 / self.frame_rate).round_ties_even() as u64;
        let frames = Frames::rounded(&images, milliseconds)?;
        let loops = u16::try_from(self.loop_count)?;
        let bytes = match self.format {
            Chosen::Webp => {
                // What Pillow takes for one picture, and for several.
                let method = if images.size()[0] == 1 { 4 } else { 0 };
                let settings = WebpSettings { lossless: settings.flag("lossless"), quality: 80, method };
                webp_of(&frames, settings, loops, &time_taken(Local::now().naive_local()))?
            }
            _ => gif_of(&frames, loops)?,
        };
        let ending = format!(".{}", self.format.extension());
        let mut aside = files.begin(&ending)?;
        aside.write_all(&bytes).context("cannot write the animation: check the folder's space")?;
        files.stand(aside, &ending)?;
        Ok(Made { endings: vec![ending] })
    }

    /// Saves a video, and once more with its sound.
    fn video(
        &self,
        clip: &Clip<'_>,
        (format, settings): (&'static Format, &Settings),
        files: &mut Files,
        cx: &mut Cx,
    ) -> Result<Made> {
        let ending = format!(".{}", format.extension);
        if format.is_sequence() {
            return self.sequence(clip, (format, settings), files, cx);
        }
        let video = files.begin(&ending)?;
        write_video(video.path(), clip, (format, settings), &metadata(cx), cx)?;
        let mut endings = vec![ending.clone()];
        let with_sound = match (&self.audio, format.sound) {
            (Some(audio), Some(sound)) => {
                let ending = format!("-audio.{}", format.extension);
                let aside = files.begin(&ending)?;
                let seconds = clip.order().len() as f64 / clip.rate;
                let trim = settings.flag("trim_to_audio");
                add_sound(aside.path(), video.path(), (format, sound), audio, trim, seconds, cx)?;
                Some((aside, ending))
            }
            (Some(_), None) => {
                cx.warn(format!("{} holds no sound: the sound is left out", format.name));
                None
            }
            (None, _) => None,
        };
        if with_sound.is_none() || Extras::of(cx).intermediate {
            files.stand(video, &ending)?;
        }
        if let Some((aside, ending)) = with_sound {
            files.stand(aside, &ending)?;
            endings.push(ending);
        }
        Ok(Made { endings })
    }

    /// Saves a picture for each frame.
    fn sequence(
        &self,
        clip: &Clip<'_>,
        (format, settings): (&'static Format, &Settings),
        files: &mut Files,
        cx: &mut Cx,
    ) -> Result<Made> {
        if self.audio.is_some() {
            cx.warn(format!("{} holds no sound: the sound is left out", format.name));
        }
        let folder = temporary_folder("redraft-frames-")?;
        write_video(&folder.path().join(format.extension), clip, (format, settings), &[], cx)?;
        for number in 1.. {
            let name = format.extension.replace("%03d", &format!("{number:03}"));
            let path = folder.path().join(&name);
            if !path.exists() {
                break;
            }
            cx.check()?;
            let ending = format!(".{name}");
            let mut aside = files.begin(&ending)?;
            std::io::copy(&mut std::fs::File::open(&path)?, &mut aside)
                .context("cannot write a frame: check the folder's space")?;
            files.stand(aside, &ending)?;
        }
        Ok(Made { endings: vec![format!(".{}", format.extension)] })
    }

    /// What is shown of the files: the last one, and where the workflow is.
    fn shown(&self, made: &Made, files: &Files, count: i64) -> Result<Json> {
        let last = made.endings.last().context("nothing was saved: this is a bug")?;
        let single = count == 1 && last.contains("%03d") && last.ends_with("png");
        let filename = files.name(last);
        Ok(json!({
            "filename": if single { filename.replace("%03d", "001") } else { filename },
            "subfolder": files.subfolder(),
            "type": if self.save_output { "output" } else { "temp" },
            "format": if single { "image/png" } else { self.format.name() },
            "frame_rate": self.frame_rate,
            "workflow": files.name(FIRST),
            "fullpath": files.path(last)?,
        }))
    }
}

/// What is written into a video: `prompt`, then the keys of `extra_pnginfo`.
fn metadata(cx: &Cx) -> Vec<(String, Json)> {
    if cx.metadata.disabled {
        return Vec::new();
    }
    let prompt = ("prompt".to_owned(), cx.metadata.prompt.clone());
    std::iter::once(prompt).chain(cx.metadata.extra.iter().cloned()).collect()
}

/// The same as texts of a picture, and when it was made.
fn texts<'a>(cx: &Cx<'a>) -> Vec<(&'a str, String)> {
    if cx.metadata.disabled {
        return Vec::new();
    }
    let prompt = ("prompt", dumps(&cx.metadata.prompt));
    let extra = cx.metadata.extra.iter().map(|(name, value)| (name.as_str(), dumps(value)));
    let made = ("CreationTime", Local::now().format("%Y-%m-%d %H:%M:%S").to_string());
    std::iter::once(prompt).chain(extra).chain([made]).collect()
}

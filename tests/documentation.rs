//! The documentation's workflows that need no model and no pack, as they are, on stand-ins for the pictures that they name; and
//! those with a LoRA, on tiny random models.
//!
//! One test for each. They lie in `../shared/conversions/documentation`; without them every test counts as ignored.

#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use common::{Redraft, shared};
use libtest_mimic::{Arguments, Failed, Trial};
use serde_json::Value as Json;

/// The size of the stand-ins, in pixels.
const WIDTH: &str = "640";
const HEIGHT: &str = "512";

/// A workflow, how many pictures it names, and the sizes of those that it makes, sorted: those that ComfyUI 0.8.0 makes of the
/// same stand-ins; with nodes of packs, those that follow from the workflow.
type Row = (&'static str, usize, &'static [(u32, u32)]);

/// A test on the folder of the workflows.
type Check = Box<dyn FnOnce(&Path) -> Result<(), Failed> + Send>;

#[rustfmt::skip]
const WORKFLOWS: [Row; 56] = [
    ("begin-with__data-types__Preview_as_Text", 1, &[]),
    ("begin-with__wireless-nodes__Set_Get", 1, &[(640, 512)]),
    ("data-utilities__batch-video__Batch_Images", 3, &[(640, 512), (640, 512), (640, 512)]),
    ("data-utilities__color-adjustments__ImageAddNoise", 1, &[(640, 512)]),
    ("data-utilities__color-adjustments__ImageBlur", 1, &[(640, 512)]),
    ("data-utilities__color-adjustments__ImageMorphology", 1, &[(640, 512)]),
    ("data-utilities__color-adjustments__ImageQuantize", 1, &[(640, 512)]),
    ("data-utilities__color-adjustments__ImageSharpen", 1, &[(640, 512)]),
    ("data-utilities__color-adjustments__Invert_Image", 1, &[(640, 512)]),
    ("data-utilities__layer-composite-blend__EmptyImage", 0, &[(1024, 1024)]),
    ("data-utilities__layer-composite-blend__ImageCompositeMasked-with_Alpha", 1, &[(640, 512), (640, 512), (1024, 1024)]),
    ("data-utilities__layer-composite-blend__ImageCompositeMasked", 1, &[(1500, 1080), (1500, 1080), (1500, 1080)]),
    ("data-utilities__layer-composite-blend__Image_Blend", 2, &[(640, 512)]),
    ("data-utilities__layer-composite-blend__Image_Stitch", 2, &[(640, 512)]),
    ("data-utilities__mask-alpha__Join-Split_Image_with_Alpha", 2, &[(640, 512), (640, 512), (640, 512)]),
    ("data-utilities__mask-ops__Convert_Image_to_Mask", 1, &[(640, 512)]),
    ("data-utilities__mask-ops__Convert_Mask_to_Image", 1, &[(640, 512)]),
    ("data-utilities__mask-ops__CropMask", 1, &[(256, 256)]),
    ("data-utilities__mask-ops__GrowMask", 1, &[(640, 512)]),
    ("data-utilities__mask-ops__InvertMask", 1, &[(640, 512)]),
    ("data-utilities__mask-ops__Load_Image_(as_Mask)", 2, &[(640, 512), (640, 512)]),
    ("data-utilities__mask-ops__MaskComposite", 2, &[(640, 512), (640, 512), (640, 512), (640, 512)]),
    ("data-utilities__mask-ops__MaskPreview", 1, &[(640, 512)]),
    ("data-utilities__mask-ops__SolidMask", 0, &[(512, 768)]),
    ("data-utilities__mask-ops__ThresholdMask", 1, &[(640, 512), (640, 512)]),
    ("data-utilities__resize-crop-pad__Get_Image_Size", 2, &[(640, 512)]),
    ("data-utilities__resize-crop-pad__ImageCrop", 1, &[(126, 126)]),
    ("data-utilities__resize-crop-pad__ImageFlip", 1, &[(640, 512)]),
    ("data-utilities__resize-crop-pad__ImageRotate", 1, &[(512, 640)]),
    ("data-utilities__resize-crop-pad__ImageScaleToMaxDimension", 1, &[(1024, 819)]),
    ("data-utilities__resize-crop-pad__Pad_Image_for_Outpainting", 1, &[(1040, 512), (1040, 512)]),
    ("data-utilities__resize-crop-pad__ResizeAndPadImage", 1, &[(768, 512)]),
    ("data-utilities__resize-crop-pad__Scale_Image_to_Total_Pixels", 1, &[(1145, 916)]),
    ("data-utilities__resize-crop-pad__Upscale_Image", 1, &[(768, 480), (768, 480)]),
    ("data-utilities__resize-crop-pad__Upscale_Image_By", 1, &[(960, 768)]),
    ("begin-with__subgraphs__Chroma_key", 1, &[(640, 512)]),
    ("data-utilities__batch-video__Diff_List-Batch", 3, &[(640, 512); 6]),
    ("data-utilities__batch-video__Image_Batch_to_Image_List", 3, &[(640, 512); 3]),
    ("data-utilities__batch-video__Make_Image_Batch", 3, &[(640, 512); 3]),
    ("data-utilities__batch-video__RepeatImageBatch-ImageBatchRepeatInterleaving", 3, &[(640, 512); 18]),
    ("data-utilities__batch-video__Reverse_Image_Batch", 3, &[(640, 512); 6]),
    ("data-utilities__layer-composite-blend__ImageCompositeMasked-Align_center", 1, &[(1500, 1080)]),
    ("data-utilities__layer-composite-blend__ImageCompositeMasked-with_crop-pad", 2, &[(640, 512); 3]),
    ("data-utilities__layer-composite-blend__Image_Concatenate_From_Batch", 4, &[(1280, 1024)]),
    ("data-utilities__list__Make_List_(Any)", 3, &[(640, 512); 3]),
    ("data-utilities__list__Select_Nth_Item_(Any_list)", 3, &[(640, 512)]),
    ("data-utilities__list__Split_String", 0, &[]),
    ("data-utilities__mask-ops__Color_To_Mask", 1, &[(640, 512)]),
    ("data-utilities__mask-ops__Gaussian_Blur_Mask", 1, &[(640, 512)]),
    ("data-utilities__resize-crop-pad__Crop_to_half_size", 1, &[(320, 512)]),
    ("data-utilities__resize-crop-pad__Crop_to_multiple_of_32", 1, &[(640, 512)]),
    ("data-utilities__simple-math__Simple_Math", 0, &[]),
    ("data-utilities__simple-math__Simple_Math_FloatInt", 0, &[]),
    ("data-utilities__list__List_To_Batch_To_List", 3, &[(640, 512); 3]),
    ("data-utilities__simple-math__Power_Puter", 1, &[]),
    ("data-utilities__text-ops__Power_Puter_(rgthree)_Replace", 0, &[]),
];

/// What some of them show as text.
const TEXTS: [(&str, &str); 7] = [
    ("begin-with__data-types__Preview_as_Text", "Comfy with ComfyUI"),
    ("begin-with__wireless-nodes__Set_Get", "Hello!"),
    ("data-utilities__list__Split_String", "node 3: pineapple"),
    ("data-utilities__simple-math__Simple_Math", "node 8: 75"),
    ("data-utilities__simple-math__Simple_Math_FloatInt", "node 24: 999"),
    ("data-utilities__simple-math__Power_Puter", "This image is larger than 512"),
    ("data-utilities__text-ops__Power_Puter_(rgthree)_Replace", "pineapple pen"),
];

/// Workflows with a LoRA, and the ids of their nodes LoraLoader.
const WITH_LORA: [(&str, &str); 2] = [
    ("basic-workflows__ksampler-advanced__SD1.5_KSampler_(Advanced)-LoRA", "26"),
    ("basic-workflows__sd15-lora__SD1.5_lora", "11"),
];

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let trial = |name: &str, run: Check| {
        Trial::test(name, move || run(&shared("conversions/documentation"))).with_ignored_flag(cfg!(not(shared)))
    };
    let mut trials: Vec<Trial> =
        WORKFLOWS.iter().map(|row| trial(row.0, Box::new(move |folder| runs(folder, row)))).collect();
    trials
        .extend(WITH_LORA.map(|(name, lora)| trial(name, Box::new(move |folder| runs_with_lora(folder, name, lora)))));
    trials.push(trial("no_model_lacks_a_stand_in", Box::new(no_model_lacks_a_stand_in)));
    trials.push(trial("no_workflow_is_left_out", Box::new(no_workflow_is_left_out)));
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn file(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.workflow.json"))
}

/// The stand-ins are made, the workflow runs, and its pictures have the right sizes.
fn runs(folder: &Path, &(name, pictures, sizes): &Row) -> Result<(), Failed> {
    let base = tempfile::tempdir()?;
    let command =
        |command: &str| Redraft::new().arg(command).arg(file(folder, name)).arg("--base-directory").arg(base.path());
    let stand_ins = || command("stand-ins").args(["--width", WIDTH, "--height", HEIGHT]).finish().expect_code(0);
    let made = stand_ins().stdout;
    expect("stand-ins", made.lines().filter(|line| Path::new(line).is_file()).count(), pictures)?;
    expect("stand-ins of a second time", stand_ins().stdout.as_str(), "")?;

    let done = command("run").args(["--device", "cpu"]).finish().expect_code(0);
    let mut found: Vec<_> =
        done.stdout.lines().filter(|line| Path::new(line).is_file()).map(|line| size(Path::new(line))).collect();
    found.sort_unstable();
    expect("sizes", found.as_slice(), sizes)?;
    for (_, text) in TEXTS.iter().filter(|(of, _)| *of == name) {
        expect("texts", done.stderr.lines().any(|line| line.ends_with(text)), true)?;
    }
    Ok(())
}

/// The workflow runs from its file, and its picture shows the LoRA.
fn runs_with_lora(folder: &Path, name: &str, lora: &str) -> Result<(), Failed> {
    let base = tempfile::tempdir()?;
    let picture = |sets: &[String]| -> Result<_, Failed> {
        let mut command = Redraft::new().arg("run").arg(file(folder, name)).arg("--base-directory").arg(base.path());
        command = command.arg("--models-directory").arg(shared("conformance/base/models")).args(["--device", "cpu"]);
        for model in ["v1-5*=sd15-tiny-random", "vae-ft*=sd15-tiny-random-vae", "*=tiny-kohya"] {
            command = command.arg("--substitute").arg(format!("{model}.safetensors"));
        }
        // A latent of 512 x 512 takes a minute.
        for set in ["5.width=64".to_owned(), "5.height=64".to_owned()].iter().chain(sets) {
            command = command.args(["--set", set]);
        }
        let done = command.finish().expect_code(0);
        let file = done.stdout.lines().find(|line| line.ends_with(".png")).ok_or("no picture was saved")?;
        Ok(image::open(file)?.into_rgb8())
    };
    let with = picture(&[])?;
    expect("size", with.dimensions(), (64, 64))?;
    let without = picture(&["model", "clip"].map(|of| format!("{lora}.strength_{of}=0")))?;
    expect("a picture without the LoRA is another one", with == without, false)
}

/// With the tiny models under the names of `workflows/substitutes.toml`, the workflows of Stable Diffusion 1.x that can run lack
/// nothing but pictures, and models that steer or look, of which the project has none of its own; no workflow of another family has its
/// models replaced.
fn no_model_lacks_a_stand_in(folder: &Path) -> Result<(), Failed> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let table: toml::Table = fs::read_to_string(root.join("workflows/substitutes.toml"))?.parse()?;
    let base = tempfile::tempdir()?;
    for (kind, files) in table {
        let models = base.path().join("models").join(kind);
        fs::create_dir_all(&models)?;
        for file in files.as_table().ok_or("no table")?.values() {
            fs::write(models.join(file.as_str().ok_or("no name")?), "")?;
        }
    }
    fs::copy(root.join("workflows/substitutes.toml"), base.path().join("substitutes.toml"))?;
    let survey = fs::read_to_string(root.join("docs/workflows.md"))?;
    let rows = survey.lines().filter_map(|line| {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        (cells.len() == 7 && cells[2] != "none" && cells[3] == "yes")
            .then(|| (cells[1].to_owned(), cells[2].starts_with("Stable Diffusion 1.x")))
    });
    let mut of_the_family = 0;
    for (name, is_sd1) in rows {
        let done = Redraft::new().arg("check").arg(file(folder, &name)).arg("--json");
        let checked: Json = serde_json::from_str(&done.arg("--base-directory").arg(base.path()).finish().stdout)?;
        let text = checked.to_string();
        if is_sd1 {
            of_the_family += 1;
            let problems = checked["problems"].as_array().ok_or("no problems")?;
            // The stand-ins here are empty files, and there are none for embeddings.
            let kinds = ["InputFileMissing", "FileUnusable", "MentionMissing"];
            let beside =
                |problem: &Json| ["controlnet", "depth_anything_v2"].iter().any(|folder| problem["folder"] == *folder);
            let expected = |problem: &Json| kinds.iter().any(|kind| problem["kind"] == *kind) || beside(problem);
            let others: Vec<&Json> = problems.iter().filter(|problem| !expected(problem)).collect();
            expect(&name, others, vec![])?;
        }
        // Stable Video Diffusion may be given Stable Diffusion's VAE.
        let replaced = if is_sd1 { "using redraft-tiny" } else { "(CheckpointLoaderSimple): using redraft-tiny" };
        expect(&name, text.contains(replaced), is_sd1)?;
    }
    expect("workflows of Stable Diffusion 1.x", of_the_family > 15, true)
}

fn expect<T: PartialEq + std::fmt::Debug>(what: &str, found: T, wanted: T) -> Result<(), Failed> {
    if found == wanted { Ok(()) } else { Err(format!("{what}: {found:?} instead of {wanted:?}").into()) }
}

/// Width and height of a PNG file.
fn size(path: &Path) -> (u32, u32) {
    let bytes = fs::read(path).unwrap();
    assert!(bytes.starts_with(b"\x89PNG\r\n\x1a\n"), "{}", path.display());
    let number = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
    (number(16), number(20))
}

/// Of the documentation's first and last parts, the workflows that lack nothing but pictures are those of the list.
fn no_workflow_is_left_out(folder: &Path) -> Result<(), Failed> {
    let base = tempfile::tempdir()?;
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name().into_string().unwrap();
        let Some(name) = name.strip_suffix(".workflow.json") else { continue };
        let part = name.starts_with("begin-with__") || name.starts_with("data-utilities__");
        if part && lacks_only_pictures(&file(folder, name), base.path()) {
            found.push(name.to_owned());
        }
    }
    found.sort_unstable();
    let mut wanted: Vec<String> = WORKFLOWS.iter().map(|row| row.0.to_owned()).collect();
    wanted.sort_unstable();
    expect("workflows", found, wanted)
}

fn lacks_only_pictures(file: &Path, base: &Path) -> bool {
    let done = Redraft::new().arg("check").arg(file).arg("--json").arg("--base-directory").arg(base).finish();
    let checked: Json = serde_json::from_str(&done.stdout).unwrap();
    checked["problems"].as_array().unwrap().iter().all(|problem| problem["kind"] == "InputFileMissing")
}

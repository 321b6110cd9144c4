//! Nodes that change how a model is sampled, held against ComfyUI 0.8.0: two steps of Euler on a tiny checkpoint.
//!
//! The figures are its results with the same checkpoint (`redraft random-checkpoint --size tiny --seed 1`) and graph, on a CPU.

#![allow(clippy::unwrap_used)]

mod common;

use common::Base;
use common::figures::{Figures, HIGHEST, differs, figures};
use common::graph::{Graph, ksampler};
use common::tensors::Tensors;
use serde_json::{Value as Json, json};

/// A class, its settings, and what KSampler makes of the model.
#[rustfmt::skip]
const ALONE: &[(&str, &str, Figures)] = &[
    ("ModelSamplingDiscrete", r#"{"sampling": "v_prediction", "zsnr": false}"#, [1.8974, 1.56351, -1.24507, 3.14741]),
    ("ModelSamplingDiscrete", r#"{"sampling": "v_prediction", "zsnr": true}"#, [1.77536, 1.76245, -1.21734, 3.10463]),
    ("ModelSamplingDiscrete", r#"{"sampling": "lcm", "zsnr": false}"#, [51.9088, -16.5397, -24.7327, 92.6291]),
    ("ModelSamplingDiscrete", r#"{"sampling": "x0", "zsnr": false}"#, [0.00488748, -1.0686, 1.51139, 3.37627]),
    ("ModelSamplingDiscrete", r#"{"sampling": "img_to_img", "zsnr": false}"#, [0.395306, 0.197514, 1.11808, 3.22581]),
    ("ModelSamplingContinuousEDM", r#"{"sampling": "v_prediction", "sigma_max": 120.0, "sigma_min": 0.002}"#, [1.70976, 1.53849, -1.21711, 3.09144]),
    ("ModelSamplingContinuousEDM", r#"{"sampling": "edm", "sigma_max": 80.0, "sigma_min": 0.002}"#, [-0.83555, -0.798162, 0.608494, 1.54598]),
    ("ModelSamplingContinuousEDM", r#"{"sampling": "edm_playground_v2.5", "sigma_max": 80.0, "sigma_min": 0.002}"#, [-4.2425, -3.28749, 3.67483, 4.59173]),
    ("ModelSamplingContinuousEDM", r#"{"sampling": "cosmos_rflow", "sigma_max": 80.0, "sigma_min": 0.002}"#, [3.49542, -1.26146, -1.6099, 6.25218]),
    ("ModelSamplingContinuousV", r#"{"sampling": "v_prediction", "sigma_max": 500.0, "sigma_min": 0.03}"#, [1.77606, 1.5665, -1.16448, 3.10133]),
    ("ModelSamplingStableCascade", r#"{"shift": 2.0}"#, [354.455, -128.181, -163.872, 632.994]),
    ("ModelSamplingSD3", r#"{"shift": 3.0}"#, [3.54641, -1.10215, -1.69686, 6.33373]),
    ("ModelSamplingAuraFlow", r#"{"shift": 1.73}"#, [3.54477, -1.28149, -1.63705, 6.32904]),
    ("ModelSamplingFlux", r#"{"max_shift": 1.15, "base_shift": 0.5, "width": 512, "height": 768}"#, [3.54463, -1.28124, -1.63863, 6.33003]),
    ("ModelSamplingLTXV", r#"{"max_shift": 2.05, "base_shift": 0.95}"#, [3.54493, -1.28179, -1.63522, 6.3279]),
    ("RescaleCFG", r#"{"multiplier": 0.7}"#, [51.6427, -16.0914, -24.601, 92.1621]),
    ("RenormCFG", r#"{"cfg_trunc": 100.0, "renorm_cfg": 0.8}"#, [32.9926, -10.2946, -15.7164, 58.8776]),
    ("CFGZeroStar", r#"{}"#, [52.2924, -16.3427, -24.9258, 93.3176]),
    ("CFGNorm", r#"{"strength": 0.9}"#, [40.7259, -13.1198, -20.0516, 73.2118]),
    ("TCFG", r#"{}"#, [51.6934, -18.6441, -25.3855, 92.198]),
    ("APG", r#"{"eta": 0.3, "norm_threshold": 5.0, "momentum": -0.5}"#, [51.463, -21.1435, -26.0272, 92.0221]),
    ("Mahiro", r#"{}"#, [52.3532, -16.3645, -24.9556, 93.426]),
    ("FreSca", r#"{"scale_low": 0.8, "scale_high": 1.5, "freq_cutoff": 2}"#, [53.4323, -13.3025, -24.7448, 93.4371]),
    ("Epsilon Scaling", r#"{"scaling_factor": 1.03}"#, [51.226, -16.9276, -24.2084, 92.0438]),
    ("TemporalScoreRescaling", r#"{"tsr_k": 0.9, "tsr_sigma": 1.5}"#, [51.9156, -16.21, -24.722, 92.6775]),
    ("VideoLinearCFGGuidance", r#"{"min_cfg": 1.5}"#, [82.9596, 21.6807, 22.106, 90.1769]),
    ("VideoTriangleCFGGuidance", r#"{"min_cfg": 1.5}"#, [82.9596, 19.7772, 27.335, 89.6133]),
    ("SelfAttentionGuidance", r#"{"scale": 0.5, "blur_sigma": 2.0}"#, [49.755, -19.8892, -23.2079, 98.5192]),
    ("PerturbedAttentionGuidance", r#"{"scale": 2.0}"#, [51.993, -16.2175, -24.5471, 92.7086]),
    ("PerpNeg", r#"{"empty_conditioning": ["8", 0], "neg_scale": 0.7}"#, [53.4958, -18.8526, -26.1611, 92.7956]),
    ("FreeU", r#"{"b1": 1.1, "b2": 1.2, "s1": 0.9, "s2": 0.2}"#, [49.0844, -11.0722, -21.8238, 92.248]),
    ("FreeU_V2", r#"{"b1": 1.3, "b2": 1.4, "s1": 0.9, "s2": 0.2}"#, [48.2739, -9.59951, -22.4204, 92.4924]),
    ("HyperTile", r#"{"tile_size": 32, "swap_size": 3, "max_depth": 1, "scale_depth": true}"#, [52.8598, -16.6233, -27.8828, 92.4623]),
    ("PatchModelAddDownscale", r#"{"block_number": 3, "downscale_factor": 2.0, "start_percent": 0.0, "end_percent": 0.5, "downscale_after_skip": false, "downscale_method": "bicubic", "upscale_method": "bilinear"}"#, [57.151, -32.177, -9.67365, 93.4672]),
    ("TomePatchModel", r#"{"ratio": 0.4}"#, [48.0925, -15.1346, -23.3814, 92.7338]),
    ("UNetSelfAttentionMultiply", r#"{"q": 1.2, "k": 0.9, "v": 1.1, "out": 0.8}"#, [51.4381, -16.2981, -24.8625, 92.7023]),
    ("UNetCrossAttentionMultiply", r#"{"q": 1.2, "k": 0.9, "v": 1.1, "out": 0.8}"#, [52.4871, -17.3128, -24.7014, 92.6769]),
    ("UNetTemporalAttentionMultiply", r#"{"self_structural": 0.7, "self_temporal": 2.0, "cross_structural": 1.3, "cross_temporal": 2.0}"#, [50.947, -8.38226, -25.2141, 92.8772]),
];

/// Two classes with the settings above, the second after the first.
#[rustfmt::skip]
const TOGETHER: &[([&str; 2], Figures)] = &[
    (["RescaleCFG", "VideoLinearCFGGuidance"], [82.9596, 21.6807, 22.106, 90.1769]),
    (["VideoLinearCFGGuidance", "RescaleCFG"], [76.0214, 21.4561, 21.8782, 89.8033]),
    (["CFGNorm", "Epsilon Scaling"], [61.0671, 17.3955, 18.2704, 71.4773]),
    (["Epsilon Scaling", "CFGNorm"], [60.7991, 17.3114, 18.0986, 71.3117]),
    (["TCFG", "FreSca"], [79.4847, 22.8401, 22.003, 90.3174]),
    (["FreSca", "TCFG"], [79.3024, 23.262, 21.2487, 90.3946]),
];

/// The noise level that sampling starts from with a node's settings.
fn highest(settings: &str) -> f64 {
    let settings: Json = serde_json::from_str(settings).unwrap();
    match settings["sigma_max"].as_f64() {
        Some(given) => given,
        // With zero terminal SNR: what 4.8973451890853435e-08 for the last mean alpha leaves.
        None if settings["zsnr"] == true => 4518.76,
        None => HIGHEST,
    }
}

/// A node that changes a model, on top of another.
fn change(graph: &mut Graph, id: &str, class: &str, model: &Json) {
    let settings = ALONE.iter().find(|row| row.0 == class).unwrap().1;
    with_settings(graph, id, class, settings, model);
}

fn with_settings(graph: &mut Graph, id: &str, class: &str, settings: &str, model: &Json) {
    let mut inputs: Json = serde_json::from_str(settings).unwrap();
    inputs["model"] = model.clone();
    graph.node(id, class, inputs);
}

/// Two steps with the changed model. Guidance over a batch is looked at in a batch.
fn sampled(graph: &mut Graph, id: &str, model: &str, latent: &str) {
    let inputs = json!({ "model": [model, 0], "latent_image": [latent, 0], "steps": 2, "cfg": 4.0 });
    graph.node(id, "KSampler", ksampler(inputs));
}

#[test]
fn changed_models_are_sampled_as_comfyui_samples_them() {
    let base = Base::new();
    let mut graph = Graph::image2image();
    graph.node("8", "CLIPTextEncode", json!({ "text": "", "clip": ["4", 1] }));
    graph.node("5", "EmptyLatentImage", json!({ "width": 128, "height": 128, "batch_size": 1 }));
    graph.node("9", "EmptyLatentImage", json!({ "width": 64, "height": 96, "batch_size": 2 }));
    let mut expected = Vec::new();
    for (n, (class, settings, figures)) in ALONE.iter().enumerate() {
        let (id, changed) = (format!("alone-{n}"), format!("alone-{n}-model"));
        with_settings(&mut graph, &changed, class, settings, &json!(["4", 0]));
        sampled(&mut graph, &id, &changed, if class.starts_with("Video") { "9" } else { "5" });
        expected.push((id, format!("{class} {settings}"), figures, highest(settings)));
    }
    for (n, ([first, second], figures)) in TOGETHER.iter().enumerate() {
        let id = format!("together-{n}");
        let [one, two] = ["first", "second"].map(|place| format!("{id}-{place}"));
        change(&mut graph, &one, first, &json!(["4", 0]));
        change(&mut graph, &two, second, &json!([one, 0]));
        sampled(&mut graph, &id, &two, "9");
        expected.push((id, format!("{first}, then {second}"), figures, HIGHEST));
    }
    let (file, dump) = (base.write_json("graph.json", &graph.json()), base.path("dump.safetensors"));
    let mut run = base.run(&file).arg("--dump").arg(&dump);
    for (id, ..) in &expected {
        run = run.args(["--only", id]);
    }
    run.finish().expect_code(0);
    let tensors = Tensors::read(&dump);
    let wrong = expected.iter().filter_map(|(id, what, expected, highest)| {
        let found = tensors.floats(&format!("{id}/0/samples"));
        differs(&found, expected, *highest)
            .then(|| format!("{what}\n    found {:?}\n    not   {expected:?}", figures(&found)))
    });
    let wrong: Vec<String> = wrong.collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

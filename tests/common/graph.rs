//! Small workflows, in the API form and in the editor's.

use serde_json::{Map, Value as Json, json};

use super::{CHECKPOINT, PICTURE, VAE};

/// An API form under construction. The documentation's image2image workflow's node ids: 4 checkpoint, 6 and 7 prompts,
/// 10 VAE, 12 VAEEncode, 13 LoadImage.
pub struct Graph(pub Map<String, Json>);

impl Graph {
    /// Everything that a sampler needs to begin: model, prompts, and the picture encoded.
    pub fn image2image() -> Self {
        let mut graph = Self(Map::new());
        graph.node("4", "CheckpointLoaderSimple", json!({ "ckpt_name": CHECKPOINT }));
        graph.node("6", "CLIPTextEncode", json!({ "text": "a clay figure, purple boots", "clip": ["4", 1] }));
        graph.node("7", "CLIPTextEncode", json!({ "text": "text, watermark", "clip": ["4", 1] }));
        graph.node("10", "VAELoader", json!({ "vae_name": VAE }));
        graph.node("13", "LoadImage", json!({ "image": PICTURE }));
        graph.node("12", "VAEEncode", json!({ "pixels": ["13", 0], "vae": ["10", 0] }));
        graph
    }

    /// The documentation's workflow as a whole: sampled, decoded (node 8) and saved (node 9).
    pub fn saved(steps: usize) -> Self {
        let mut graph = Self::image2image();
        graph.node("16", "KSampler", ksampler(json!({ "steps": steps, "denoise": 0.7 })));
        graph.node("8", "VAEDecode", json!({ "samples": ["16", 0], "vae": ["10", 0] }));
        graph.node("9", "SaveImage", json!({ "images": ["8", 0], "filename_prefix": "ComfyUI" }));
        graph
    }

    pub fn node(&mut self, id: &str, class: &str, inputs: Json) {
        self.0.insert(id.to_owned(), json!({ "class_type": class, "inputs": inputs }));
    }

    /// A latent that the run must compute: something has to show it.
    pub fn shown(&mut self, id: &str, class: &str, inputs: Json) {
        self.node(id, class, inputs);
        self.node(&format!("{id}-decoded"), "VAEDecode", json!({ "samples": [id, 0], "vae": ["10", 0] }));
        self.node(&format!("{id}-shown"), "PreviewImage", json!({ "images": [format!("{id}-decoded"), 0] }));
    }

    /// A graph with one input changed.
    pub fn with(mut self, id: &str, input: &str, value: Json) -> Self {
        self.0[id]["inputs"][input] = value;
        self
    }

    pub fn json(&self) -> Json {
        Json::Object(self.0.clone())
    }
}

/// KSampler's inputs, those given before the usual ones.
pub fn ksampler(given: Json) -> Json {
    let usual = json!({
        "model": ["4", 0], "positive": ["6", 0], "negative": ["7", 0], "latent_image": ["12", 0],
        "seed": 123, "steps": 20, "cfg": 8.0, "sampler_name": "euler", "scheduler": "normal", "denoise": 1.0,
    });
    overlaid(usual, given)
}

/// KSamplerAdvanced's inputs, those given before the usual ones.
pub fn advanced(given: Json) -> Json {
    let usual = json!({
        "model": ["4", 0], "positive": ["6", 0], "negative": ["7", 0], "latent_image": ["12", 0],
        "add_noise": "enable", "noise_seed": 123, "steps": 20, "cfg": 8.0, "sampler_name": "euler", "scheduler": "normal",
        "start_at_step": 0, "end_at_step": 10000, "return_with_leftover_noise": "disable",
    });
    overlaid(usual, given)
}

fn overlaid(mut below: Json, above: Json) -> Json {
    for (name, value) in above.as_object().into_iter().flatten() {
        below[name] = value.clone();
    }
    below
}

/// The documentation's workflow as its editor saves it, with few steps.
pub fn ui_workflow() -> Json {
    let node = |id: u32, class: &str, inputs: Json, outputs: Json, widgets: Json| {
        json!({ "id": id, "type": class, "pos": [0, 0], "size": [200, 100], "flags": {}, "order": id, "mode": 0,
            "inputs": inputs, "outputs": outputs, "properties": {}, "widgets_values": widgets })
    };
    let input = |name: &str, ty: &str, link: u32| json!({ "name": name, "type": ty, "link": link });
    let output = |name: &str, links: &[u32]| json!({ "name": name, "type": name, "links": links });
    let encode = |id, link, to: u32, text: &str| {
        node(
            id,
            "CLIPTextEncode",
            json!([input("clip", "CLIP", link)]),
            json!([output("CONDITIONING", &[to])]),
            json!([text]),
        )
    };
    let sampler = json!([
        input("model", "MODEL", 38),
        input("positive", "CONDITIONING", 35),
        input("negative", "CONDITIONING", 36),
        input("latent_image", "LATENT", 37)
    ]);
    let mut titled = node(
        16,
        "KSampler",
        sampler,
        json!([output("LATENT", &[39])]),
        json!([123, "fixed", 2, 8, "euler", "normal", 0.7]),
    );
    titled["title"] = json!("draw over it");
    json!({
        "last_node_id": 16, "last_link_id": 39, "version": 0.4, "groups": [], "config": {}, "extra": {},
        "nodes": [
            node(8, "VAEDecode", json!([input("samples", "LATENT", 39), input("vae", "VAE", 10)]),
                json!([output("IMAGE", &[9])]), json!([])),
            node(10, "VAELoader", json!([]), json!([output("VAE", &[10, 30])]),
                json!(["vae-ft-mse-840000-ema-pruned.safetensors"])),
            node(13, "LoadImage", json!([]), json!([output("IMAGE", &[18]), output("MASK", &[])]),
                json!(["vivi (1).png", "image"])),
            node(9, "SaveImage", json!([input("images", "IMAGE", 9)]), json!([]), json!(["ComfyUI"])),
            encode(6, 3, 35, "a clay figure, purple boots"),
            encode(7, 5, 36, "text, watermark"),
            node(12, "VAEEncode", json!([input("pixels", "IMAGE", 18), input("vae", "VAE", 30)]),
                json!([output("LATENT", &[37])]), json!([])),
            node(4, "CheckpointLoaderSimple", json!([]),
                json!([output("MODEL", &[38]), output("CLIP", &[3, 5]), output("VAE", &[])]),
                json!(["v1-5-pruned-emaonly-fp16.safetensors"])),
            titled,
        ],
        "links": [
            [3, 4, 1, 6, 0, "CLIP"], [5, 4, 1, 7, 0, "CLIP"], [9, 8, 0, 9, 0, "IMAGE"], [10, 10, 0, 8, 1, "VAE"],
            [18, 13, 0, 12, 0, "IMAGE"], [30, 10, 0, 12, 1, "VAE"], [35, 6, 0, 16, 1, "CONDITIONING"],
            [36, 7, 0, 16, 2, "CONDITIONING"], [37, 12, 0, 16, 3, "LATENT"], [38, 4, 0, 16, 0, "MODEL"],
            [39, 16, 0, 8, 0, "LATENT"]
        ],
    })
}

//! What families of models let Llama 3 read around a prompt, and which of its states they take.

use crate::text::llama::{LlamaUse, States};

/// What HunyuanVideo describes videos by, behind the words that are its own.
macro_rules! aspects {
    () => {
        "1. The main content and theme of the video.2. The color, shape, size, texture, quantity, text, and spatial relationships of the \
         objects.3. Actions, events, behaviors temporal relationships, physical movement changes of the objects.4. background environment, \
         light, style and atmosphere.5. camera angles, movements, and transitions used in the video:<|eot_id|>"
    };
}

/// What stands in front of the task, and of what the user says.
macro_rules! says {
    (system) => {
        "<|start_header_id|>system<|end_header_id|>\n\n"
    };
    (user) => {
        "<|start_header_id|>user<|end_header_id|>\n\n"
    };
}

/// HunyuanVideo: what the user says behind a task, two layers before the last.
pub const HUNYUAN_VIDEO: LlamaUse = LlamaUse {
    template: Some((
        concat!(says!(system), "Describe the video by detailing the following aspects: ", aspects!(), says!(user)),
        "<|eot_id|>",
    )),
    pad: 128_258,
    least: 1,
    states: States::Said(-3),
};

/// HiDream: the prompt alone, the states behind every layer.
pub const HIDREAM: LlamaUse = LlamaUse { template: None, pad: 128_009, least: 128, states: States::OfLayers };

/// HunyuanVideo's for a prompt with a picture, whose tokens stand in the place of the mark.
pub const HUNYUAN_VIDEO_OF_PICTURE: (&str, &str) = (
    concat!(
        says!(system),
        "<image>\nDescribe the video by detailing the following aspects according to the reference image: ",
        aspects!(),
        "\n\n",
        says!(user)
    ),
    "<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n",
);
